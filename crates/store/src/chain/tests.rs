//! The chain: what is written holds, and whatever is done to it afterwards is found and named.

use proptest::{array, collection, prelude::*, sample::Index};

use super::*;

/// What a test stores of an entry: its number, its columns, its hash.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    id: i64,
    columns: [Value; COLUMNS],
    hash: AuditHash,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Nothing,
    Integer(i64),
    Text(Vec<u8>),
}

impl Value {
    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Nothing => Cell::Nothing,
            Self::Integer(number) => Cell::Integer(*number),
            Self::Text(bytes) => Cell::Text(bytes),
        }
    }
}

fn cells(columns: &[Value; COLUMNS]) -> Columns<'_> {
    columns.each_ref().map(Value::cell)
}

fn key(byte: u8) -> ChainKey {
    ChainKeys::derive(&[(1, Zeroizing::new([byte; 32]))]).unwrap().newest
}

/// A log with these entries, as an engine writes it.
fn written(key: &ChainKey, entries: Vec<[Value; COLUMNS]>) -> (Vec<Row>, StoredHead) {
    let mut head = StoredHead { entries: 0, last_id: 0, hash: AuditHash::BEGINNING };
    let rows = entries.into_iter().map(|columns| {
        let id = head.last_id + 1;
        let hash = key.link(head.hash, id, &cells(&columns));
        head = StoredHead { entries: head.entries + 1, last_id: id, hash };
        Row { id, columns, hash }
    });
    (rows.collect(), head)
}

fn walked(
    key: &ChainKey,
    rows: &[Row],
    head: FoundHead,
    noted: Option<AuditHead>,
) -> Result<AuditProof, AuditBreak> {
    let mut walk = Walk::new(key, head, noted);
    for row in rows {
        walk.step(row.id, Some(&cells(&row.columns)), Some(row.hash))?;
    }
    walk.finish()
}

fn checked(rows: &[Row], head: StoredHead) -> Result<AuditProof, AuditBreak> {
    let key = key(7);
    walked(&key, rows, key.judge(head, &key.code(&head)), None)
}

/// Gives every row a number again, in order.
fn renumber(rows: &mut [Row]) {
    for (row, id) in rows.iter_mut().zip(1..) {
        row.id = id;
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Nothing),
        any::<i64>().prop_map(Value::Integer),
        collection::vec(any::<u8>(), 0..12).prop_map(Value::Text),
    ]
}

fn log(least: usize) -> impl Strategy<Value = (Vec<Row>, StoredHead)> {
    collection::vec(array::uniform13(value()), least..9)
        .prop_map(|entries| written(&key(7), entries))
}

proptest! {
    #[test]
    fn what_was_written_is_whole((rows, head) in log(0)) {
        let newest = rows.last().map(|row| crate::AuditId::new(row.id.unsigned_abs()));
        let whole = AuditHead { entries: rows.len() as u64, hash: head.hash };
        prop_assert_eq!(checked(&rows, head), Ok(AuditProof::Whole { head: whole, newest }));
    }

    #[test]
    fn a_changed_column_is_found_where_it_is(
        (mut rows, head) in log(1), at in any::<Index>(), column in 0..COLUMNS, new in value(),
    ) {
        let row = at.index(rows.len());
        prop_assume!(rows[row].columns[column] != new);
        rows[row].columns[column] = new;
        prop_assert_eq!(checked(&rows, head), Err(AuditBreak::Changed { entry: rows[row].id }));
    }

    #[test]
    fn a_changed_hash_is_found_where_it_is(
        (mut rows, head) in log(1), at in any::<Index>(), bit in 0..256_usize,
    ) {
        let row = at.index(rows.len());
        rows[row].hash.0[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(checked(&rows, head), Err(AuditBreak::Changed { entry: rows[row].id }));
    }

    #[test]
    fn removed_entries_are_named(
        (mut rows, head) in log(1), from in any::<Index>(), to in any::<Index>(),
    ) {
        let (from, to) = (from.index(rows.len()), to.index(rows.len()));
        let (from, to) = (from.min(to), from.max(to));
        let (first, last) = (rows[from].id, rows[to].id);
        rows.drain(from..=to);
        let expected = match rows.get(from) {
            Some(behind) => AuditBreak::Missing { first, last, entry: behind.id },
            None => AuditBreak::Cut { first, last },
        };
        prop_assert_eq!(checked(&rows, head), Err(expected));
        // Closing the gap by new numbers does not hide it.
        renumber(&mut rows);
        let expected = match rows.get(from) {
            Some(behind) => AuditBreak::Changed { entry: behind.id },
            None => AuditBreak::Cut { first, last },
        };
        prop_assert_eq!(checked(&rows, head), Err(expected));
    }

    #[test]
    fn swapped_entries_are_found_at_the_first(
        (mut rows, head) in log(2), one in any::<Index>(), other in any::<Index>(),
    ) {
        let (one, other) = (one.index(rows.len()), other.index(rows.len()));
        prop_assume!(one != other);
        rows.swap(one, other);
        renumber(&mut rows);
        let entry = rows[one.min(other)].id;
        prop_assert_eq!(checked(&rows, head), Err(AuditBreak::Changed { entry }));
    }

    #[test]
    fn an_inserted_entry_is_found_where_it_is(
        (mut rows, head) in log(1), at in any::<Index>(), copied in any::<Index>(),
        columns in proptest::option::of(array::uniform13(value())),
    ) {
        let (before, at) = (rows.clone(), at.index(rows.len() + 1));
        // Its hash is one that Keyward made: the best that somebody without the key can come by.
        let mut put_in = rows[copied.index(rows.len())].clone();
        put_in.columns = columns.unwrap_or(put_in.columns);
        rows.insert(at, put_in);
        renumber(&mut rows);
        // A copy put before its original leaves what stands there as it was.
        let at = rows.iter().zip(&before).take_while(|(now, then)| now == then).count();
        let entry = rows[at].id;
        let expected = match at + 1 == rows.len() {
            true => AuditBreak::Added { entry },
            false => AuditBreak::Changed { entry },
        };
        prop_assert_eq!(checked(&rows, head), Err(expected));
    }

    #[test]
    fn a_changed_head_does_not_hold((rows, head) in log(0), other in any::<(u64, i64, [u8; 32])>()) {
        let (key, (entries, last_id, hash)) = (key(7), other);
        let hash = AuditHash::from_bytes(hash);
        for changed in [
            StoredHead { entries, ..head },
            StoredHead { last_id, ..head },
            StoredHead { hash, ..head },
        ] {
            prop_assume!(changed != head);
            let found = key.judge(changed, &key.code(&head));
            prop_assert_eq!(found, FoundHead::Changed);
            prop_assert_eq!(walked(&key, &rows, found, None), Err(AuditBreak::HeadChanged));
        }
    }

    #[test]
    fn two_entries_with_different_columns_never_have_the_same_hash(
        one in array::uniform13(value()), other in array::uniform13(value()),
    ) {
        let hash = |columns| key(7).link(AuditHash::BEGINNING, 1, &cells(columns));
        prop_assert_eq!(hash(&one) == hash(&other), one == other);
    }

    #[test]
    fn a_head_is_read_back_as_it_is_printed(entries: u64, hash: [u8; 32]) {
        let head = AuditHead { entries, hash: AuditHash::from_bytes(hash) };
        prop_assert_eq!(head.to_string().parse(), Ok(head));
    }
}

/// `n` entries that say which they are.
fn entries(n: i64) -> (Vec<Row>, StoredHead) {
    let entry = |number| {
        let mut columns = [const { Value::Nothing }; COLUMNS];
        columns[0] = Value::Integer(number);
        columns
    };
    written(&key(7), (1..=n).map(entry).collect())
}

#[test]
fn the_bytes_that_are_hashed_stay_what_they_are() {
    let text = |text: &'static str| Cell::Text(text.as_bytes());
    let columns = [
        Cell::Integer(1_800_000_000_000),
        text("operator"),
        text("ada"),
        text("command_line"),
        text("key.disable"),
        text("key"),
        text("key_1"),
        text(r#"{"state":"active"}"#),
        Cell::Nothing,
        text("done"),
        Cell::Integer(2),
        Cell::Nothing,
        Cell::Nothing,
    ];
    let hash = key(7).link(AuditHash::BEGINNING, 1, &columns);
    // Computed apart from this code: a change would break every log there is.
    assert_eq!(
        hash.to_string(),
        "21f093294e9ce016f1a992977db252367ba11f0f0c2ff2f11f9eb3f2ed1bdf1c"
    );
    let code = key(7).code(&StoredHead { entries: 1, last_id: 1, hash });
    assert_eq!(
        AuditHash::from_bytes(code).to_string(),
        "67ccc53e00f2f10582691371e3d66564b8b3bd7d6445882e1d2c6895a71322e9"
    );
}

#[test]
fn columns_do_not_run_into_each_other() {
    let entry = |first: &'static [u8], second: &'static [u8]| {
        let mut columns = [Cell::Nothing; COLUMNS];
        (columns[0], columns[1]) = (Cell::Text(first), Cell::Text(second));
        columns
    };
    let hash = |columns| key(7).link(AuditHash::BEGINNING, 1, &columns);
    assert_ne!(hash(entry(b"ab", b"c")), hash(entry(b"a", b"bc")));
    assert_ne!(hash(entry(b"", b"\x02")), hash(entry(b"\x02", b"")));
    let mut nothing = entry(b"", b"c");
    nothing[0] = Cell::Nothing;
    assert_ne!(hash(entry(b"", b"c")), hash(nothing));
}

#[test]
fn another_key_makes_another_chain() {
    let (rows, head) = entries(3);
    let other = key(8);
    let found = other.judge(head, &key(7).code(&head));
    assert_eq!(found, FoundHead::Changed);
    assert_eq!(walked(&other, &rows, found, None), Err(AuditBreak::Changed { entry: 1 }));
}

#[test]
fn a_head_from_an_older_copy_is_found() {
    let ((rows, _), (_, older)) = (entries(5), entries(3));
    assert_eq!(checked(&rows, older), Err(AuditBreak::HeadOutdated { entry: 4 }));
    // One of another log of the same length.
    let mut other = entries(4).0.into_iter().map(|row| row.columns).collect::<Vec<_>>();
    other[0][0] = Value::Integer(99);
    let (_, other) = written(&key(7), other);
    assert_eq!(checked(&rows[..4], other), Err(AuditBreak::HeadOfAnother));
    assert_eq!(checked(&rows, other), Err(AuditBreak::HeadOfAnother));
}

#[test]
fn a_head_that_was_marked_or_is_missing_makes_no_log_whole() {
    let (rows, head) = entries(2);
    let key = key(7);
    assert_eq!(key.judge(head, &BROKEN), FoundHead::Marked);
    for (found, expected) in [
        (FoundHead::Marked, AuditBreak::HeadChanged),
        (FoundHead::Changed, AuditBreak::HeadChanged),
        (FoundHead::Missing, AuditBreak::HeadMissing),
    ] {
        assert_eq!(walked(&key, &rows, found, None), Err(expected));
        // What is wrong before the end is told first.
        assert_eq!(
            walked(&key, &rows[1..], found, None),
            Err(AuditBreak::Missing { first: 1, last: 1, entry: 2 })
        );
    }
}

#[test]
fn a_log_that_had_gaps_when_it_was_chained_is_whole() {
    let key = key(7);
    let mut head = StoredHead { entries: 0, last_id: 0, hash: AuditHash::BEGINNING };
    let mut rows = vec![];
    for id in [3, 4, 9] {
        let columns = [const { Value::Nothing }; COLUMNS];
        let hash = key.link(head.hash, id, &cells(&columns));
        head = StoredHead { entries: head.entries + 1, last_id: id, hash };
        rows.push(Row { id, columns, hash });
    }
    assert!(checked(&rows, head).is_ok());
    rows.remove(1);
    assert_eq!(checked(&rows, head), Err(AuditBreak::Missing { first: 4, last: 8, entry: 9 }));
}

#[test]
fn a_noted_head_tells_an_older_copy_and_another_log() {
    let key = key(7);
    let (rows, head) = entries(5);
    let check = |rows: &[Row], head, noted| {
        walked(&key, rows, FoundHead::Sound(head), Some(noted)).map(drop)
    };
    for noted in [entries(0).1, entries(2).1, head] {
        let noted = AuditHead { entries: noted.entries, hash: noted.hash };
        assert_eq!(check(&rows, head, noted), Ok(()));
    }
    let noted = AuditHead { entries: 5, hash: head.hash };
    let (older, older_head) = entries(4);
    let expected = AuditBreak::ShorterThanNoted { entries: 4, noted };
    assert_eq!(check(&older, older_head, noted), Err(expected));
    let mut went_on: Vec<_> = rows.iter().map(|row| row.columns.clone()).collect();
    went_on[4][1] = Value::Integer(0);
    let (other, other_head) = written(&key, went_on);
    assert_eq!(check(&other, other_head, noted), Err(AuditBreak::NotAsNoted { noted }));
}

#[test]
fn what_is_no_head_is_refused() {
    let digits = "0".repeat(64);
    for text in
        ["", ":", "1", &digits, "x:00", "1:00", &format!("-1:{digits}"), &format!("1:{digits}0")]
    {
        assert_eq!(text.parse::<AuditHead>(), Err(NotAHead), "{text}");
    }
    let wrong = format!("1:{}", digits.replacen('0', "g", 1));
    assert_eq!(wrong.parse::<AuditHead>(), Err(NotAHead));
}

#[test]
fn a_break_says_where_and_what_in_a_sentence() {
    for (found, expected) in [
        (AuditBreak::Missing { first: 4, last: 4, entry: 5 }, "entry 4 is missing before entry 5"),
        (AuditBreak::Cut { first: 4, last: 6 }, "entries 4 to 6 are missing at the end"),
        (
            AuditBreak::Changed { entry: 2 },
            "entry 2 is not what was written there: it was changed, moved or put in",
        ),
    ] {
        assert_eq!(found.to_string(), expected);
    }
}
