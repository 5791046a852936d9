//! How fast anybody may go: wrong guesses at what opens a door ([`Guesses`]), and requests in general ([`Pace`]).
//!
//! A guess is counted when it is let through, and taken back when it was right: a hundred at once are no way around it. Beyond
//! some free ones, each wrong guess makes the wait for the next one twice as long, up to a bound. What is refused costs no hash and
//! counts for nothing.
//!
//! Strangers cannot lock anybody out for long. Guesses at an account are counted per network they come from (an IPv6 client is its
//! /64), so that one network's guesses make nobody else wait. What a crowd of networks may try at one account is bounded as well,
//! at ten a minute; whoever wants to use that up must come from more than a hundred networks at once, and then delays only logins
//! from where nobody has logged in to the account before: a network with a login in the last thirty days, and a browser that holds
//! the proof of one, do not stand in that queue. The browser has a count of its own, whatever others do in its network.
//!
//! Memory is bounded: a full table forgets what was longest quiet. To push somebody's count out, one needs as many guesses from as
//! many places as the table has lines, each at the price of a password's hash.
//!
//! Rejected: locking accounts after so many guesses (a stranger's tool to lock others out), answers that are held back (they
//! hold a connection), and counts in the store (a write for each guess). Counts are this process's and end with it.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use keyward_core::{
    id::{KeyId, SessionId, UserId},
    member::Email,
    network,
    time::Timestamp,
};
use sha2::{Digest as _, Sha256};

/// Lines of each table.
const LINES: usize = 16_384;
/// How long a network is known by a login.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// Where somebody comes from, as coarse as one client can choose its address: IPv4 as it is, IPv6 by its /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Neighbourhood(IpAddr);

impl Neighbourhood {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match network::canonical(address) {
            IpAddr::V6(v6) => {
                let top = u128::from(v6) & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from(top))
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// An account as it is counted by, known here or not: the two are not told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Account([u8; 16]);

impl Account {
    fn digest(kind: &str, text: &str) -> Self {
        let digest =
            Sha256::new().chain_update(kind).chain_update([0]).chain_update(text).finalize();
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest).for_each(|(place, byte)| *place = byte);
        Self(bytes)
    }

    /// The one that somebody logs in to.
    pub(crate) fn of(email: &Email) -> Self {
        Self::digest("email", email.as_str())
    }

    /// Something else that is named: a browser.
    pub(crate) fn named(name: &str) -> Self {
        Self::digest("named", name)
    }

    /// The one of somebody who is logged in, and shows their password again.
    pub(crate) fn of_user(user: UserId) -> Self {
        Self::digest("user", &user.to_string())
    }

    pub(crate) const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// What guesses are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Door {
    /// Passwords of an account, from a neighbourhood.
    Pair(Account, Neighbourhood),
    /// Passwords of an account, from a browser that logged in to it before.
    Browser(Account, [u8; 16]),
    /// Passwords of an account, from wherever nobody has logged in to it.
    Crowd(Account),
    /// Passwords of whichever account, from a neighbourhood.
    Passwords(Neighbourhood),
    /// Tokens of the setup and of invitations, and logins with an account elsewhere, from a neighbourhood.
    Tokens(Neighbourhood),
}

/// How long one waits after so many wrong guesses.
struct Waits {
    free: u32,
    first: Duration,
    longest: Duration,
}

/// From when on a door is as if nobody had ever guessed.
const FORGOTTEN: Duration = Duration::from_secs(3600);

impl Door {
    const fn waits(&self) -> Waits {
        let quarter = Duration::from_secs(15 * 60);
        let (free, first, longest) = match self {
            Self::Pair(..) | Self::Browser(..) => (10, Duration::from_secs(1), quarter),
            Self::Crowd(_) => (20, Duration::from_secs(6), Duration::from_secs(6)),
            Self::Passwords(_) => (50, Duration::from_secs(1), quarter),
            Self::Tokens(_) => (20, Duration::from_secs(1), quarter),
        };
        Waits { free, first, longest }
    }
}

#[derive(Clone, Copy)]
struct Tally {
    wrong: u32,
    last: Timestamp,
}

impl Tally {
    /// From when on the next guess is let through.
    fn open_from(&self, waits: &Waits) -> Timestamp {
        match self.wrong.checked_sub(waits.free + 1) {
            None => Timestamp::from_millis(0),
            Some(doublings) => {
                let factor = 1_u32.checked_shl(doublings.min(20)).unwrap_or(u32::MAX);
                self.last.plus(waits.first.saturating_mul(factor).min(waits.longest))
            }
        }
    }
}

/// A table that forgets what was longest quiet before it grows over its bound.
pub(crate) struct Bounded<K, V> {
    lines: HashMap<K, V>,
    most: usize,
}

impl<K: Copy + Eq + Hash, V: Copy> Bounded<K, V> {
    pub(crate) fn new(most: usize) -> Self {
        Self { lines: HashMap::new(), most }
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.lines.contains_key(key)
    }

    /// `age` orders lines: the smallest goes, and all below `quiet` with it.
    pub(crate) fn put(&mut self, key: K, value: V, age: impl Fn(&V) -> u64, quiet: u64) {
        if self.lines.len() >= self.most && !self.lines.contains_key(&key) {
            self.lines.retain(|_, value| age(value) >= quiet);
            if self.lines.len() >= self.most
                && let Some(oldest) =
                    self.lines.iter().min_by_key(|(_, value)| age(value)).map(|(key, _)| *key)
            {
                self.lines.remove(&oldest);
            }
        }
        self.lines.insert(key, value);
    }
}

/// Waits after wrong guesses. See the module.
pub(crate) struct Guesses {
    doors: Mutex<Bounded<Door, Tally>>,
    /// Where somebody logged in to an account, and when.
    known: Mutex<Bounded<(Account, Neighbourhood), Timestamp>>,
}

/// What is held is complete at any instant: a panic elsewhere takes nothing from it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A guess that was let through, and counts as wrong until it turns out otherwise.
#[must_use = "a right guess must be said to be one"]
pub(crate) struct Attempt<'g> {
    guesses: &'g Guesses,
    doors: Vec<Door>,
    at: Timestamp,
}

impl Guesses {
    pub(crate) fn new() -> Self {
        Self::with_lines(LINES)
    }

    fn with_lines(most: usize) -> Self {
        Self { doors: Mutex::new(Bounded::new(most)), known: Mutex::new(Bounded::new(most)) }
    }

    /// A guess at an account's password. `browser` is what names one that logged in to this account before. Else how long to wait.
    pub(crate) fn at_password(
        &self,
        account: Account,
        from: IpAddr,
        browser: Option<[u8; 16]>,
        now: Timestamp,
    ) -> Result<Attempt<'_>, Duration> {
        let from = Neighbourhood::of(from);
        let doors = match browser {
            Some(browser) => vec![Door::Browser(account, browser)],
            None => {
                let pair = Door::Pair(account, from);
                let known = lock(&self.known).lines.get(&(account, from)).copied();
                match known.is_some_and(|at| now.since(at) < KNOWN_FOR) {
                    true => vec![pair, Door::Passwords(from)],
                    false => vec![pair, Door::Passwords(from), Door::Crowd(account)],
                }
            }
        };
        self.admit(doors, now)
    }

    /// A guess at a token that opens a door once.
    pub(crate) fn at_token(&self, from: IpAddr, now: Timestamp) -> Result<Attempt<'_>, Duration> {
        self.admit(vec![Door::Tokens(Neighbourhood::of(from))], now)
    }

    fn admit(&self, doors: Vec<Door>, now: Timestamp) -> Result<Attempt<'_>, Duration> {
        let mut table = lock(&self.doors);
        let held = |table: &Bounded<Door, Tally>, door: &Door| {
            table.lines.get(door).copied().filter(|tally| now.since(tally.last) < FORGOTTEN)
        };
        let wait = doors.iter().filter_map(|door| {
            let from = held(&table, door)?.open_from(&door.waits());
            (now < from).then(|| from.since(now))
        });
        if let Some(longest) = wait.max() {
            return Err(longest);
        }
        let quiet = now.as_millis().saturating_sub(millis(FORGOTTEN));
        for door in &doors {
            let wrong = held(&table, door).map_or(0, |tally| tally.wrong).saturating_add(1);
            table.put(*door, Tally { wrong, last: now }, |tally| tally.last.as_millis(), quiet);
        }
        Ok(Attempt { guesses: self, doors, at: now })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Attempt<'_> {
    /// It was right: where it came from is known now.
    pub(crate) fn right(self) {
        let mut table = lock(&self.guesses.doors);
        for door in &self.doors {
            match door {
                // A right guess at one's own account buys no more at others'.
                Door::Pair(..) | Door::Browser(..) => {
                    table.lines.remove(door);
                }
                Door::Crowd(_) | Door::Passwords(_) | Door::Tokens(_) => {
                    take_back(&mut table, door);
                }
            }
        }
        drop(table);
        for door in &self.doors {
            if let Door::Pair(account, from) = door {
                let quiet = self.at.as_millis().saturating_sub(millis(KNOWN_FOR));
                let mut known = lock(&self.guesses.known);
                known.put((*account, *from), self.at, |at| at.as_millis(), quiet);
            }
        }
    }

    /// It was neither right nor wrong: something else failed.
    pub(crate) fn void(self) {
        let mut table = lock(&self.guesses.doors);
        self.doors.iter().for_each(|door| take_back(&mut table, door));
    }
}

fn take_back(table: &mut Bounded<Door, Tally>, door: &Door) {
    if let Some(tally) = table.lines.get_mut(door) {
        tally.wrong = tally.wrong.saturating_sub(1);
    }
}

/// Who goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Walker {
    /// Somebody who logged in.
    Session(SessionId),
    /// A program.
    Key(KeyId),
    /// Somebody who did not.
    Unknown(Neighbourhood),
}

/// Requests per minute and caller, with a whole minute's at once.
pub(crate) struct Pace {
    /// In microseconds: what one request uses of a caller's time.
    step: u64,
    /// By caller: until when their time is used up, in microseconds (GCRA).
    used: Mutex<Bounded<Walker, u64>>,
}

const MINUTE: u64 = 60_000_000;

impl Pace {
    pub(crate) fn new(per_minute: NonZeroU32) -> Self {
        let step = MINUTE / u64::from(per_minute.get());
        Self { step, used: Mutex::new(Bounded::new(LINES)) }
    }

    /// One more request, or how long to wait for it.
    pub(crate) fn take(&self, who: Walker, now: Timestamp) -> Result<(), Duration> {
        let now = now.as_millis().saturating_mul(1000);
        let mut table = lock(&self.used);
        let used = table.lines.get(&who).copied().unwrap_or(0).max(now).saturating_add(self.step);
        if let Some(over) = used.checked_sub(now.saturating_add(MINUTE)).filter(|over| *over > 0) {
            return Err(Duration::from_micros(over));
        }
        table.put(who, used, |used| *used, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
