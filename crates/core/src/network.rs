//! Where a request comes from, in one form.
//!
//! An IPv4-mapped IPv6 address is IPv4, otherwise a list of IPv4 networks could be walked around by
//! connecting to a dual-stack socket.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A network in CIDR form, like `10.0.0.0/8` or `2001:db8::/32`; a lone address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// The text is no network.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a network: write it like 203.0.113.0/24, 2001:db8::/32 or a single address")]
pub struct NotANetwork(String);

impl Network {
    /// Whether the address, in its [`canonical`] form, is in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&canonical(address))
    }

    /// Whether every address of `other` is in the network.
    pub fn covers(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }
}

/// The address as it is decided on: IPv4-mapped IPv6 (`::ffff:a.b.c.d`) is IPv4.
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let wrong = || NotANetwork(text.to_owned());
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(canonical(address).into()));
        }
        let network: IpNet = text.parse().map_err(|_| wrong())?;
        let IpNet::V6(v6) = network else { return Ok(Self(network.trunc())) };
        match v6.addr().to_ipv4_mapped() {
            // A mapped network of /96 or longer is an IPv4 network; a shorter one would also hold true IPv6.
            Some(v4) if v6.prefix_len() >= 96 => {
                let v4 = ipnet::Ipv4Net::new(v4, v6.prefix_len() - 96).map_err(|_| wrong())?;
                Ok(Self(IpNet::V4(v4.trunc())))
            }
            Some(_) => Err(wrong()),
            None => Ok(Self(network.trunc())),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn membership_holds_across_both_spellings_of_ipv4() {
        let cases = [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("203.0.113.7", "203.0.113.7", true),
            ("203.0.113.7", "203.0.113.8", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("0.0.0.0/0", "2001:db8::1", false),
        ];
        for (network, address, inside) in cases {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), inside, "{network} {address}");
        }
    }

    #[test]
    fn a_network_covers_what_is_inside_of_it() {
        let cases = [
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.0.0.0/8", "10.0.0.0/8", true),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.1.0.0/16", "10.0.0.0/8", false),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "2001:db8::/32", false),
        ];
        for (wide, narrow, covers) in cases {
            let (wide, narrow): (Network, Network) =
                (wide.parse().unwrap(), narrow.parse().unwrap());
            assert_eq!(wide.covers(&narrow), covers, "{wide} {narrow}");
        }
    }

    #[test]
    fn a_network_covers_what_lies_in_it() {
        for (outer, inner, covers) in [
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.0.0.0/8", "10.0.0.0/8", true),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.1.0.0/16", "10.0.0.0/8", false),
            ("10.0.0.0/8", "11.0.0.0/8", false),
            ("0.0.0.0/0", "2001:db8::/32", false),
            ("::/0", "10.0.0.0/8", false),
        ] {
            let (one, other): (Network, Network) = (outer.parse().unwrap(), inner.parse().unwrap());
            assert_eq!(one.covers(&other), covers, "{outer} {inner}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in ["", "10.0.0.0/33", "10.0.0", "::ffff:0.0.0.0/90", "localhost"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
