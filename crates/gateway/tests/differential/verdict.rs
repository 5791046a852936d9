//! What must hold of one case: between what a client sent, what each server answered, and what each upstream got.

use crate::{
    peers::Kind,
    strict::{End, Framing, Request, Stream, is_plain_path},
    talk::Talk,
};

/// What one server made of a case.
pub struct Made {
    pub talk: Talk,
    /// What its upstream got meanwhile, whole requests only; the first of them has the serial `first`.
    pub received: Vec<Request>,
    pub first: usize,
}

impl Made {
    /// What the upstream got for the n-th answer, where it was asked for it.
    pub fn passed(&self, n: usize) -> Option<&Request> {
        let serial = self.talk.answers.get(n)?.serial?;
        self.received.get(serial.checked_sub(self.first)?)
    }

    pub fn passes(&self) -> usize {
        self.talk.answers.iter().filter(|answer| answer.serial.is_some()).count()
    }
}

/// What the gateway made of what the client sent, held against the strict reading of it.
pub fn of_keyward(sent: &Stream, made: &Made) -> Result<(), String> {
    let Talk { answers, rest } = &made.talk;
    let ensure =
        |holds: bool, otherwise: &dyn Fn() -> String| if holds { Ok(()) } else { Err(otherwise()) };
    ensure(rest.is_empty(), &|| {
        format!("behind its answers came {:?}", String::from_utf8_lossy(rest))
    })?;
    let serials: Vec<usize> = answers.iter().filter_map(|answer| answer.serial).collect();
    let all: Vec<usize> = (made.first..made.first + made.received.len()).collect();
    ensure(serials == all, &|| {
        format!("its upstream took requests {all:?}, its client has answers to {serials:?}")
    })?;
    let last = answers.len().saturating_sub(1);
    for (n, answer) in answers.iter().enumerate() {
        ensure(!answer.closes || n == last, &|| {
            format!("an answer follows number {n}, which ended the connection")
        })?;
        let Some(got) = made.passed(n) else {
            ensure(answer.status >= 400, &|| format!("it answered {} by itself", answer.status))?;
            continue;
        };
        let meant = sent.requests.get(n);
        let meant =
            meant.ok_or_else(|| format!("number {n} passed, though it is {:?}", sent.end))?;
        ensure(is_plain_path(&meant.target), &|| format!("{:?} passed", meant.target))?;
        same(meant, got)
            .map_err(|differs| format!("number {n}: {differs}, upstream of the gateway"))?;
        check_forwarded(got)?;
    }
    let (read, answered) = (sent.requests.len(), answers.len());
    ensure(answered <= read + 1, &|| format!("{read} requests have {answered} answers"))?;
    if answered == read + 1 {
        ensure(sent.end != End::Clean, &|| format!("{read} requests have {answered} answers"))?;
        let closes = answers.last().is_some_and(|answer| answer.closes);
        ensure(closes, &|| format!("the connection stayed open behind {:?}", sent.end))?;
    }
    ensure(!ended_early(sent, made), &|| {
        format!("of {read} requests {answered} were answered, and the end was not announced")
    })?;
    Ok(())
}

/// Whether a connection on which something was left to be answered ended without a word, as at a deadline.
pub fn ended_early(sent: &Stream, made: &Made) -> bool {
    let answers = &made.talk.answers;
    let announced = answers.last().is_some_and(|answer| answer.closes);
    let all = sent.requests.len() + usize::from(matches!(sent.end, End::Broken(_)));
    answers.len() < all && !announced
}

/// What holds of every request that an upstream gets, beside that it can be read strictly.
fn check_forwarded(got: &Request) -> Result<(), String> {
    for (name, _) in &got.headers {
        if name.contains('_') {
            return Err(format!("{name} has an underscore"));
        }
    }
    for once in ["x-request-id", "authorization", "x-keyward-key-id"] {
        let count = got.all(once).count();
        if count != 1 {
            return Err(format!("{once} came {count} times"));
        }
    }
    Ok(())
}

/// Whether two requests mean the same.
fn same(one: &Request, other: &Request) -> Result<(), String> {
    if one.method != other.method {
        return Err(format!("method {:?} became {:?}", one.method, other.method));
    }
    if one.target != other.target {
        return Err(format!("target {:?} became {:?}", one.target, other.target));
    }
    if one.body != other.body {
        let shown = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
        return Err(format!("body {:?} became {:?}", shown(&one.body), shown(&other.body)));
    }
    Ok(())
}

/// What another server made of the same, where both passed it. Nothing is excused: told to pass on what they get, they differ nowhere.
pub fn of_peer(kind: Kind, sent: &Stream, ours: &Made, theirs: &Made) -> Result<(), String> {
    for n in 0..ours.talk.answers.len() {
        let (Some(our), Some(their)) = (ours.passed(n), theirs.passed(n)) else { continue };
        same(our, their)
            .map_err(|differs| format!("number {n}: {differs} upstream of {}", kind.name()))?;
    }
    let all_passed = ours.passes() == sent.requests.len() && sent.end == End::Clean;
    if all_passed && theirs.passes() > ours.passes() {
        return Err(format!(
            "{} made {} requests of {}",
            kind.name(),
            theirs.passes(),
            ours.passes()
        ));
    }
    Ok(())
}

/// Whether a request is sent on before it is whole: what is refused later has begun upstream by then.
pub fn streams(head: &Request) -> bool {
    /// Bodies up to here are read whole first.
    const SMALL: usize = 16 * 1024;
    match head.framing {
        Framing::Nothing => false,
        Framing::Length(length) => length > SMALL,
        Framing::Chunked => true,
    }
}
