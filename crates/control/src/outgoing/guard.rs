//! Where what an organization wrote down may lead: to the internet, by https, and to nothing that only this machine or its network
//! reaches ([CWE-918], CVE-2024-6587).
//!
//! What counts is the address that a name stands for, in the moment of the call: the name is looked up once, and exactly the address
//! that was checked is connected to. So neither a name that means something else a moment later nor an address in a strange
//! spelling leads around it. What may be reached in IPv6 is what is given out to the internet (2000::/3), less what is not; in
//! IPv4 everything but what the registry of special addresses keeps (RFC 6890).
//!
//! [CWE-918]: https://cwe.mitre.org/data/definitions/918.html

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::Uri;
use keyward_core::network::{Network, canonical};

/// What may be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Networks that may be reached although they are not the internet's.
    allowed: Vec<Network>,
}

/// Why an address is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Neither https nor what is allowed without.
    #[error("its address is not https")]
    NotHttps,
    /// It holds a user, or is none.
    #[error(
        "its address is none that can be called: write it like https://acme.example/hook, without a user"
    )]
    NoAddress,
    /// What it stands for is not the internet's.
    #[error("its address leads to this machine or a network that is not public")]
    NotPublic,
}

/// What is nobody's in the internet, with how many bits of it say so.
const SPECIAL_V4: [(Ipv4Addr, u32); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // A metadata service that lives at an address of the internet.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    (Ipv4Addr::new(255, 255, 255, 255), 32),
];

/// Of 2000::/3, what is not given out: protocols (Teredo among them), examples, 6to4, which holds IPv4 addresses.
const SPECIAL_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Whether the address is one of the internet's.
fn is_public(address: IpAddr) -> bool {
    match canonical(address) {
        IpAddr::V4(v4) => {
            let meets = |(network, bits): &(Ipv4Addr, u32)| {
                (v4.to_bits() ^ network.to_bits()).leading_zeros() >= *bits
            };
            !SPECIAL_V4.iter().any(meets)
        }
        IpAddr::V6(v6) => {
            let meets = |(network, bits): &(Ipv6Addr, u32)| {
                (v6.to_bits() ^ network.to_bits()).leading_zeros() >= *bits
            };
            v6.to_bits() >> 125 == 1 && !SPECIAL_V6.iter().any(meets)
        }
    }
}

impl Guard {
    /// Nothing but the internet.
    pub const fn strict() -> Self {
        Self { allowed: vec![] }
    }

    /// The internet and these networks.
    pub const fn with(allowed: Vec<Network>) -> Self {
        Self { allowed }
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|network| network.contains(address))
    }

    /// Whether the address may be reached; without TLS, only on this machine where that is allowed.
    fn check(&self, address: IpAddr, https: bool) -> Result<(), Refused> {
        let allowed = self.is_allowed(address);
        match https || (allowed && canonical(address).is_loopback()) {
            false => Err(Refused::NotHttps),
            true if allowed || is_public(address) => Ok(()),
            true => Err(Refused::NotPublic),
        }
    }

    /// Those of the addresses that a host stands for which may be reached; none is refused.
    pub(crate) fn allowed(
        &self,
        uri: &Uri,
        found: &[SocketAddr],
    ) -> Result<Vec<SocketAddr>, Refused> {
        let https = https(uri)?;
        let mut refused = Refused::NotPublic;
        let mut allowed = Vec::new();
        for address in found {
            match self.check(address.ip(), https) {
                Ok(()) => allowed.push(*address),
                Err(why) => refused = why,
            }
        }
        if allowed.is_empty() { Err(refused) } else { Ok(allowed) }
    }

    /// Whether an address can be written down, as far as it can be told without looking its name up.
    pub fn accepts(&self, url: &str) -> Result<(), Refused> {
        let uri: Uri = url.parse().map_err(|_| Refused::NoAddress)?;
        let https = https(&uri)?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        match host.parse::<IpAddr>() {
            Ok(address) => self.check(address, https),
            Err(_) if https => Ok(()),
            Err(_) => Err(Refused::NotHttps),
        }
    }
}

/// Whether it is https; what is neither that nor http, or names a user, cannot be called.
fn https(uri: &Uri) -> Result<bool, Refused> {
    let plain = uri
        .authority()
        .is_some_and(|authority| !authority.as_str().contains('@') && !authority.host().is_empty());
    match (uri.scheme_str(), plain) {
        (Some("https"), true) => Ok(true),
        (Some("http"), true) => Ok(false),
        _ => Err(Refused::NoAddress),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn nothing_is_reached_but_the_internet() {
        for inside in [
            "0.0.0.0",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.1.2.3",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "3fff::1",
            "4000::1",
        ] {
            assert!(!is_public(ip(inside)), "{inside}");
            assert_eq!(
                Guard::strict().check(ip(inside), true),
                Err(Refused::NotPublic),
                "{inside}"
            );
        }
        for outside in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "128.0.0.1",
            "168.63.129.15",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2600::1",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "::ffff:1.1.1.1",
            "2001:200::1",
            "2003::1",
        ] {
            assert!(is_public(ip(outside)), "{outside}");
            assert_eq!(Guard::strict().check(ip(outside), true), Ok(()), "{outside}");
            assert_eq!(Guard::strict().check(ip(outside), false), Err(Refused::NotHttps));
        }
    }

    #[test]
    fn an_allowed_network_is_reached_and_without_tls_only_on_this_machine() {
        let guard =
            Guard::with(vec!["127.0.0.0/8".parse().unwrap(), "10.1.0.0/16".parse().unwrap()]);
        for (address, https, expected) in [
            ("127.0.0.1", false, Ok(())),
            ("::ffff:127.0.0.1", false, Ok(())),
            ("127.0.0.1", true, Ok(())),
            ("10.1.2.3", true, Ok(())),
            ("10.1.2.3", false, Err(Refused::NotHttps)),
            ("10.2.0.1", true, Err(Refused::NotPublic)),
            ("::1", true, Err(Refused::NotPublic)),
        ] {
            assert_eq!(guard.check(ip(address), https), expected, "{address} {https}");
        }
    }

    #[test]
    fn of_several_addresses_only_those_that_are_allowed_are_left() {
        let uri: Uri = "https://a.example/".parse().unwrap();
        let found = ["10.0.0.1:443", "1.1.1.1:443", "[::1]:443"].map(|one| one.parse().unwrap());
        let guard = Guard::strict();
        assert_eq!(guard.allowed(&uri, &found), Ok(vec![found[1]]));
        assert_eq!(guard.allowed(&uri, &found[..1]), Err(Refused::NotPublic));
        assert_eq!(guard.allowed(&uri, &[]), Err(Refused::NotPublic));
        let clear: Uri = "http://a.example/".parse().unwrap();
        assert_eq!(guard.allowed(&clear, &found[1..2]), Err(Refused::NotHttps));
    }

    #[test]
    fn what_cannot_be_called_is_not_written_down() {
        let guard = Guard::strict();
        for url in ["https://a.example/x", "https://a.example:8443/", "https://1.1.1.1/"] {
            assert_eq!(guard.accepts(url), Ok(()), "{url}");
        }
        for (url, refused) in [
            ("http://a.example/", Refused::NotHttps),
            ("http://127.0.0.1/", Refused::NotHttps),
            ("https://127.0.0.1/", Refused::NotPublic),
            ("https://[::1]:8443/", Refused::NotPublic),
            ("https://[::ffff:10.0.0.1]/", Refused::NotPublic),
            ("https://169.254.169.254/latest", Refused::NotPublic),
            ("https://user:secret@a.example/", Refused::NoAddress),
            ("ftp://a.example/", Refused::NoAddress),
            ("a.example", Refused::NoAddress),
            ("/x", Refused::NoAddress),
            ("", Refused::NoAddress),
        ] {
            assert_eq!(guard.accepts(url), Err(refused), "{url}");
        }
    }

    proptest! {
        #[test]
        fn an_address_in_ipv6_spelling_is_judged_like_itself(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let mapped = IpAddr::V6(v4.to_ipv6_mapped());
            prop_assert_eq!(is_public(mapped), is_public(IpAddr::V4(v4)));
            // Neither the compatible form, nor 6to4, nor NAT64 leads to what it holds.
            let [a, b] = [(bits >> 16) as u16, bits as u16];
            for holder in [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, a, b),
                Ipv6Addr::new(0x2002, a, b, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),
            ] {
                prop_assert!(!is_public(IpAddr::V6(holder)), "{}", holder);
            }
        }

        #[test]
        fn no_private_loopback_or_link_local_address_passes(bits: u32, wide: u128) {
            let v4 = Ipv4Addr::from_bits(bits);
            if v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
                || v4.is_documentation() || v4.is_unspecified() || v4.is_broadcast() {
                prop_assert!(!is_public(IpAddr::V4(v4)));
            }
            let v6 = Ipv6Addr::from_bits(wide);
            if v6.is_loopback() || v6.is_multicast() || v6.is_unique_local()
                || v6.is_unicast_link_local() || v6.is_unspecified() {
                prop_assert!(!is_public(IpAddr::V6(v6)));
            }
        }
    }
}
