//! Guesses and paces, by tables and properties: no clock but the one that is given.

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

fn account(name: &str) -> Account {
    Account::of(&format!("{name}@example.com").parse().unwrap())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Guesses wrong, until it is told to wait.
fn wrong_until_refused(
    guesses: &Guesses,
    name: &str,
    from: IpAddr,
    now: Timestamp,
) -> (u32, Duration) {
    for count in 0..1000 {
        match guesses.at_password(account(name), from, None, now) {
            Ok(attempt) => drop(attempt),
            Err(wait) => return (count, wait),
        }
    }
    panic!("never refused");
}

#[test]
fn each_wrong_guess_makes_the_next_wait_twice_as_long_up_to_a_quarter_of_an_hour() {
    let guesses = Guesses::new();
    let from = ip("203.0.113.7");
    let (free, mut wait) = wrong_until_refused(&guesses, "ada", from, NOW);
    assert_eq!((free, wait), (11, Duration::from_secs(1)));
    let mut now = NOW;
    for expected in [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
        now = now.plus(wait);
        let just_before = Timestamp::from_millis(now.as_millis() - 1);
        assert!(guesses.at_password(account("ada"), from, None, just_before).is_err());
        assert!(guesses.at_password(account("ada"), from, None, now).is_ok(), "its time has come");
        wait = guesses.at_password(account("ada"), from, None, now).err().unwrap();
        assert_eq!(wait, Duration::from_secs(expected));
    }
    let quiet = now.plus(FORGOTTEN);
    assert_eq!(
        wrong_until_refused(&guesses, "ada", from, quiet).0,
        11,
        "an hour later all is forgotten"
    );
}

#[test]
fn a_hundred_guesses_at_once_are_no_way_around_it() {
    let guesses = Guesses::new();
    let at_once: Vec<_> = (0..100)
        .filter_map(|_| guesses.at_password(account("ada"), ip("203.0.113.7"), None, NOW).ok())
        .collect();
    assert_eq!(at_once.len(), 11);
}

#[test]
fn one_network_is_one_guesser_whatever_address_it_chooses() {
    let guesses = Guesses::new();
    let let_through = (0..100_u128)
        .filter(|number| {
            let address = IpAddr::V6(Ipv6Addr::from((0x2001_0db8_u128 << 96) + number));
            guesses.at_password(account("ada"), address, None, NOW).is_ok()
        })
        .count();
    assert_eq!(let_through, 11);
    let mapped = wrong_until_refused(&guesses, "bob", ip("::ffff:203.0.113.7"), NOW);
    assert_eq!(mapped.0, 11);
    assert_eq!(wrong_until_refused(&guesses, "bob", ip("203.0.113.7"), NOW).0, 0);
}

#[test]
fn a_network_that_tries_many_accounts_waits_as_well() {
    let guesses = Guesses::new();
    let from = ip("203.0.113.7");
    let let_through = (0..100)
        .filter(|number| {
            guesses.at_password(account(&format!("a{number}")), from, None, NOW).is_ok()
        })
        .count();
    assert_eq!(let_through, 51);
    // A right guess at an account of one's own is no way around it.
    let guesses = Guesses::new();
    let mut guessed = 0;
    for number in 0..1000 {
        if let Ok(own) = guesses.at_password(account("own"), from, None, NOW) {
            own.right();
        }
        let other = guesses.at_password(account(&format!("a{number}")), from, None, NOW);
        guessed += u32::from(other.is_ok());
    }
    assert_eq!(guessed, 51);
}

#[test]
fn strangers_do_not_lock_out_who_logged_in_before() {
    let guesses = Guesses::new();
    let (home, browser) = (ip("198.51.100.1"), Some([7; 16]));
    guesses.at_password(account("ada"), home, None, NOW).ok().unwrap().right();
    let botnet = |number: u32| IpAddr::V4((0x0a00_0000 + number).into());
    let let_through = (0..1000)
        .filter(|number| guesses.at_password(account("ada"), botnet(*number), None, NOW).is_ok())
        .count();
    assert_eq!(let_through, 21, "what a crowd may try is bounded");
    assert!(guesses.at_password(account("ada"), ip("192.0.2.1"), None, NOW).is_err());
    for _ in 0..100 {
        guesses.at_password(account("ada"), home, None, NOW).ok().unwrap().right();
        guesses.at_password(account("ada"), ip("192.0.2.1"), browser, NOW).ok().unwrap().right();
    }
    // Neighbours who guess make the browser wait as little.
    wrong_until_refused(&guesses, "ada", home, NOW);
    assert!(guesses.at_password(account("ada"), home, None, NOW).is_err());
    assert!(guesses.at_password(account("ada"), home, browser, NOW).is_ok());
    // And a stranger's turn comes within seconds, unless others take it.
    let free = later(6);
    assert!(guesses.at_password(account("ada"), ip("192.0.2.1"), None, free).is_ok());
    // A stolen proof of a browser buys no more guesses than a network has.
    let stolen = (0..100)
        .filter(|_| guesses.at_password(account("bob"), home, Some([9; 16]), NOW).is_ok())
        .count();
    assert_eq!(stolen, 11);
}

#[test]
fn what_failed_for_another_reason_counts_for_nothing() {
    let guesses = Guesses::new();
    for _ in 0..100 {
        guesses.at_password(account("ada"), ip("::1"), None, NOW).ok().unwrap().void();
        guesses.at_token(ip("::1"), NOW).ok().unwrap().void();
    }
    let tokens = (0..100).filter(|_| guesses.at_token(ip("::1"), NOW).is_ok()).count();
    assert_eq!(tokens, 21);
}

#[test]
fn a_full_table_forgets_what_was_longest_quiet() {
    let guesses = Guesses::with_lines(8);
    for number in 0..100 {
        let from = IpAddr::V4((0x0a00_0000 + number).into());
        let _ = guesses.at_token(from, later(u64::from(number)));
    }
    assert_eq!(lock(&guesses.doors).lines.len(), 8);
    let kept =
        lock(&guesses.doors).lines.contains_key(&Door::Tokens(Neighbourhood::of(ip("10.0.0.99"))));
    assert!(kept);
}

proptest! {
    /// Whatever the order: in any minute nobody gets more than two minutes' worth, and who waits as told is let through.
    #[test]
    fn a_caller_keeps_the_pace(gaps in prop::collection::vec(0_u64..200, 1..600)) {
        let pace = Pace::new(NonZeroU32::new(60).unwrap());
        let who = Walker::Unknown(Neighbourhood::of(ip("203.0.113.7")));
        let mut now = NOW;
        let mut passed: Vec<u64> = vec![];
        for gap in gaps {
            now = now.plus(Duration::from_millis(gap));
            match pace.take(who, now) {
                Ok(()) => passed.push(now.as_millis()),
                Err(wait) => {
                    now = now.plus(wait + Duration::from_millis(1));
                    prop_assert!(pace.take(who, now).is_ok());
                    passed.push(now.as_millis());
                }
            }
        }
        for (at, start) in passed.iter().enumerate() {
            let within = passed[at..].iter().take_while(|moment| **moment < start + 60_000).count();
            prop_assert!(within <= 121, "{within}");
        }
    }
}

#[test]
fn a_minutes_worth_may_come_at_once_and_no_more() {
    let pace = Pace::new(NonZeroU32::new(30).unwrap());
    let who = |last: u8| Walker::Unknown(Neighbourhood::of(IpAddr::from([203, 0, 113, last])));
    assert_eq!((0..100).filter(|_| pace.take(who(1), NOW).is_ok()).count(), 30);
    assert_eq!(pace.take(who(1), NOW), Err(Duration::from_secs(2)));
    assert_eq!(pace.take(who(2), NOW), Ok(()));
    assert_eq!(pace.take(who(1), later(2)), Ok(()));
}
