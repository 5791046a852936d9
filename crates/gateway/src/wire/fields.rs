//! Where the fields of a head stand, and what each is to the gateway: found out once, while the head is read.
//!
//! Everything behind asks for the same few fields again and again, and most requests have hardly any of them. So a field's name is
//! known by a number, and whether a head has a field at all is one bit.

use std::ops::Range;

/// What a field is to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Name {
    /// It is the client's and the upstream's own affair.
    Other,
    /// The same, but some take its underscores for hyphens.
    Underscored,
    Accept,
    AcceptEncoding,
    AccelBuffering,
    Authorization,
    Connection,
    ContentEncoding,
    ContentLength,
    ContentType,
    Cookie,
    Date,
    Expect,
    ForwardedFor,
    ForwardedProto,
    Host,
    Http2Settings,
    RequestId,
    TransferEncoding,
    Upgrade,
    WebSocketProtocol,
    /// For one hop alone: RFC 9110, 7.6.1, and what proxies added over time.
    HopByHop,
    /// It makes some servers see another path, method or caller than was decided on, or is set anew.
    Override,
    /// APIs elsewhere expect a key in it: an upstream could believe it instead of the credential it is given.
    CredentialOfOthers,
}

/// The longest name that is told from others.
const LONGEST: usize = 24;

/// How names begin that are [`Name::Override`].
const OVERRIDES: [&[u8]; 6] =
    [b"x-keyward-", b"x-forwarded-", b"x-original-", b"x-real-", b"x-rewrite-", b"x-http-method"];

/// A name in lower case, or as much of it as is compared, in words. No character of a token becomes a letter, a digit or a hyphen by this
/// that was not one before.
type Lowered = [u64; LONGEST / 8];

#[expect(
    clippy::indexing_slicing,
    reason = "in bounds by the loop; names are lowered while compiling as well"
)]
const fn lowered(name: &[u8; LONGEST]) -> Lowered {
    const LOWER: u64 = u64::from_ne_bytes([b' '; 8]);
    let (words, _) = name.as_chunks::<8>();
    let mut lowered = [0; LONGEST / 8];
    let mut at = 0;
    while at < lowered.len() {
        lowered[at] = u64::from_ne_bytes(words[at]) | LOWER;
        at += 1;
    }
    lowered
}

/// The same, of a name that is known while compiling.
#[expect(clippy::indexing_slicing, reason = "evaluated while compiling, and in bounds")]
const fn known(name: &[u8]) -> Lowered {
    let mut padded = [0; LONGEST];
    let mut at = 0;
    while at < name.len() {
        padded[at] = name[at];
        at += 1;
    }
    lowered(&padded)
}

/// Which of the names of one length it is.
macro_rules! one_of {
    ($own:expr; $($text:literal => $name:ident,)+) => {
        match $own {
            $( own if own == const { known($text) } => Name::$name, )+
            _ => Name::Other,
        }
    };
}

impl Name {
    /// Of a name in any case.
    pub(crate) fn of(name: &[u8]) -> Self {
        let mut padded = [0; LONGEST];
        let known = match padded.get_mut(..name.len()) {
            Some(place) => {
                place.copy_from_slice(name);
                Self::of_lowered(name.len(), lowered(&padded))
            }
            None => Self::Other,
        };
        match known {
            Self::Other if is_override(name) => Self::Override,
            Self::Other if memchr::memchr(b'_', name).is_some() => Self::Underscored,
            known => known,
        }
    }

    fn of_lowered(length: usize, own: Lowered) -> Self {
        match length {
            2 => one_of! { own; b"te" => HopByHop, },
            4 => one_of! { own; b"host" => Host, b"date" => Date, },
            5 => one_of! { own; b"proxy" => Override, },
            6 => one_of! { own;
                b"accept" => Accept,
                b"cookie" => Cookie,
                b"expect" => Expect,
                b"x-host" => Override,
            },
            7 => one_of! { own;
                b"upgrade" => Upgrade,
                b"trailer" => HopByHop,
                b"api-key" => CredentialOfOthers,
            },
            8 => one_of! { own; b"x-method" => Override, },
            9 => one_of! { own; b"x-api-key" => CredentialOfOthers, b"forwarded" => Override, },
            10 => one_of! { own; b"connection" => Connection, b"keep-alive" => HopByHop, },
            11 => one_of! { own; b"x-client-ip" => Override, },
            12 => one_of! { own;
                b"content-type" => ContentType,
                b"x-request-id" => RequestId,
                b"x-auth-token" => CredentialOfOthers,
            },
            13 => one_of! { own; b"authorization" => Authorization, },
            14 => one_of! { own;
                b"content-length" => ContentLength,
                b"http2-settings" => Http2Settings,
                b"x-goog-api-key" => CredentialOfOthers,
                b"true-client-ip" => Override,
            },
            15 => one_of! { own;
                b"accept-encoding" => AcceptEncoding,
                b"x-forwarded-for" => ForwardedFor,
            },
            16 => one_of! { own;
                b"content-encoding" => ContentEncoding,
                b"proxy-connection" => HopByHop,
                b"cf-connecting-ip" => Override,
                b"fastly-client-ip" => Override,
            },
            17 => one_of! { own;
                b"transfer-encoding" => TransferEncoding,
                b"x-forwarded-proto" => ForwardedProto,
                b"x-accel-buffering" => AccelBuffering,
                b"x-method-override" => Override,
            },
            18 => one_of! { own; b"proxy-authenticate" => HopByHop, },
            19 => one_of! { own;
                b"proxy-authorization" => HopByHop,
                b"x-cluster-client-ip" => Override,
            },
            22 => one_of! { own; b"sec-websocket-protocol" => WebSocketProtocol, },
            _ => Self::Other,
        }
    }

    /// Whether all fields it stands for have the same name.
    const fn is_one(self) -> bool {
        !matches!(
            self,
            Self::Other
                | Self::Underscored
                | Self::HopByHop
                | Self::Override
                | Self::CredentialOfOthers
        )
    }

    /// Whether it is for one hop alone.
    pub(crate) const fn is_hop_by_hop(self) -> bool {
        matches!(self, Self::Connection | Self::TransferEncoding | Self::Upgrade | Self::HopByHop)
    }

    /// Whether a client's may reach an upstream as it came. The others go, or are written anew: where a request goes, where its body
    /// ends, and what came in several parts.
    pub(crate) const fn passes(self) -> bool {
        matches!(
            self,
            Self::Other
                | Self::Accept
                | Self::AcceptEncoding
                | Self::AccelBuffering
                | Self::ContentEncoding
                | Self::ContentType
                | Self::Date
                | Self::RequestId
        )
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

fn is_override(name: &[u8]) -> bool {
    let begins = |family: &[u8]| {
        name.get(..family.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(family))
    };
    matches!(name, [b'x' | b'X', b'-', ..]) && OVERRIDES.into_iter().any(begins)
}

/// A field: what it is, and where its name and its value begin and end.
///
/// Every head lies in lines: one of HTTP/2 is written down in them.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) is: Name,
    name: Range<u32>,
    value: Range<u32>,
}

/// What stands between a name and its value in the usual line.
pub(crate) const COLON: &[u8] = b": ";
/// What ends a line.
pub(crate) const CRLF: &[u8] = b"\r\n";

impl Field {
    /// By where its name begins and ends, and its value.
    pub(crate) fn new(is: Name, name: Range<usize>, value: Range<usize>) -> Self {
        Self { is, name: at(name.start)..at(name.end), value: at(value.start)..at(value.end) }
    }

    /// Where its whole line stands in the head, if that is the usual one: one space before the value, and none behind.
    pub(crate) fn usual_line(&self, head: &[u8]) -> Option<Range<u32>> {
        let end = self.value.end + 2;
        let is_usual = self.value.start == self.name.end + 2
            && bytes(head, &(self.name.end..self.value.start)) == COLON
            && bytes(head, &(self.value.end..end)) == CRLF;
        is_usual.then_some(self.name.start..end)
    }

    /// Its name, as it was written in the head it stands in.
    pub(crate) fn name<'h>(&self, head: &'h [u8]) -> &'h [u8] {
        bytes(head, &self.name)
    }

    /// Its value, without the space around it.
    pub(crate) fn value<'h>(&self, head: &'h [u8]) -> &'h [u8] {
        bytes(head, &self.value)
    }
}

/// The bytes of a head that stand there.
pub(crate) fn bytes<'h>(head: &'h [u8], range: &Range<u32>) -> &'h [u8] {
    let index = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
    head.get(index(range.start)..index(range.end)).unwrap_or_default()
}

/// Heads are bounded far below 4 GiB.
pub(crate) fn at(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// The fields of a head, in the order they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    all: Vec<Field>,
    /// A bit for each [`Name`] that is among them.
    present: u32,
}

impl Fields {
    pub(crate) fn push(&mut self, field: Field) {
        self.present |= field.is.bit();
        self.all.push(field);
    }

    /// None of them, and the room they took.
    pub(crate) fn clear(&mut self) {
        self.all.clear();
        self.present = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// How many it has room for.
    pub(crate) fn room(&self) -> usize {
        self.all.capacity()
    }

    /// Whether one of them is this.
    pub(crate) const fn has(&self, name: Name) -> bool {
        self.present & name.bit() != 0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Field> {
        self.all.iter()
    }

    /// The values of the field with this name, in any case, in a head.
    pub(crate) fn values<'h>(
        &'h self,
        head: &'h [u8],
        name: &str,
    ) -> impl Iterator<Item = &'h [u8]> {
        let wanted = Name::of(name.as_bytes());
        self.of(wanted)
            .filter(move |field| {
                let own = || field.name(head);
                wanted.is_one() || own().eq_ignore_ascii_case(name.as_bytes())
            })
            .map(|field| field.value(head))
    }

    /// All that are this.
    pub(crate) fn of(&self, name: Name) -> impl Iterator<Item = &Field> {
        let all = if self.has(name) { &self.all[..] } else { &[] };
        all.iter().filter(move |field| field.is == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_by_how_they_begin() {
        for (name, expected) in [
            ("Host", Name::Host),
            ("hOST", Name::Host),
            ("hosts", Name::Other),
            ("", Name::Other),
            ("X-Forwarded-For", Name::ForwardedFor),
            ("X-Forwarded-Prefix", Name::Override),
            ("x-forwarded-a-name-that-is-longer-than-all", Name::Override),
            ("x-forwarded", Name::Other),
            ("X-HTTP-Method-Override", Name::Override),
            ("X-Keyward-Key-Id", Name::Override),
            ("x_forwarded_for", Name::Underscored),
            ("a-name-that-is-longer-than-all_others", Name::Underscored),
            ("sec-websocket-protocol", Name::WebSocketProtocol),
            ("sec-websocket-protocol-s", Name::Other),
            ("TE", Name::HopByHop),
            ("x-host", Name::Override),
            ("X-Cluster-Client-IP", Name::Override),
            ("x_cluster-client-ip", Name::Underscored),
            ("X-Api-Key", Name::CredentialOfOthers),
        ] {
            assert_eq!(Name::of(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn every_name_has_a_bit_of_its_own() {
        assert!((Name::CredentialOfOthers as u32) < u32::BITS);
    }
}
