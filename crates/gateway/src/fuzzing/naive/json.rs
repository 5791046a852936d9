//! A JSON text (RFC 8259), with every member that stands in it, in order.

/// What a text says.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Json {
    Object(Vec<(Name, Json)>),
    List(Vec<Json>),
    Text(String),
    /// A number or a word, as it was written.
    Plain(String),
}

/// A member's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Name {
    pub(in super::super) text: String,
    /// Whether it was written with escapes.
    pub(in super::super) escaped: bool,
}

impl Json {
    /// Whether a text may be nested deeper than is read here.
    pub(in super::super) fn is_deep(text: &[u8]) -> bool {
        text.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > 100
    }

    /// One text, and nothing else.
    pub(in super::super) fn read(text: &str) -> Option<Json> {
        let mut rest = space(text);
        let json = value(&mut rest)?;
        rest.is_empty().then_some(json)
    }
}

fn space(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r'])
}

/// Whether this stands next; it is gone then, and the space behind it.
fn take(rest: &mut &str, sign: char) -> bool {
    let behind = rest.strip_prefix(sign);
    *rest = behind.map_or(*rest, space);
    behind.is_some()
}

/// A value, and the space behind it.
fn value(rest: &mut &str) -> Option<Json> {
    if take(rest, '{') {
        let mut members = Vec::new();
        if take(rest, '}') {
            return Some(Json::Object(members));
        }
        loop {
            let (text, escaped) = string(rest)?;
            if !take(rest, ':') {
                return None;
            }
            members.push((Name { text, escaped }, value(rest)?));
            if !take(rest, ',') {
                return take(rest, '}').then_some(Json::Object(members));
            }
        }
    }
    if take(rest, '[') {
        let mut values = Vec::new();
        if take(rest, ']') {
            return Some(Json::List(values));
        }
        loop {
            values.push(value(rest)?);
            if !take(rest, ',') {
                return take(rest, ']').then_some(Json::List(values));
            }
        }
    }
    if rest.starts_with('"') {
        return string(rest).map(|(text, _)| Json::Text(text));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let (plain, behind) = rest.split_at(rest.find(|c| !is_plain(c)).unwrap_or(rest.len()));
    *rest = space(behind);
    let good = ["true", "false", "null"].contains(&plain) || is_number(plain);
    good.then(|| Json::Plain(plain.to_owned()))
}

/// A text, and whether escapes stand in it.
fn string(rest: &mut &str) -> Option<(String, bool)> {
    let mut left = rest.strip_prefix('"')?;
    let (mut units, mut escaped) = (Vec::new(), false);
    loop {
        let c = left.chars().next()?;
        left = &left[c.len_utf8()..];
        match c {
            '"' => break,
            '\0'..='\x1f' => return None,
            '\\' => {
                escaped = true;
                let c = left.chars().next()?;
                left = &left[c.len_utf8()..];
                if c == 'u' {
                    let digits =
                        left.get(..4).filter(|four| four.chars().all(|c| c.is_ascii_hexdigit()))?;
                    units.push(u16::from_str_radix(digits, 16).ok()?);
                    left = &left[4..];
                    continue;
                }
                let at = "\"\\/bfnrt".find(c)?;
                units.push(u16::from(b"\"\\/\x08\x0c\n\r\t"[at]));
            }
            c => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
        }
    }
    *rest = space(left);
    Some((String::from_utf16_lossy(&units), escaped))
}

fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (text, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let power = power.strip_prefix(['+', '-']).unwrap_or(power);
    digits(whole) && (whole == "0" || !whole.starts_with('0')) && digits(part) && digits(power)
}
