//! Sums that wait to be added.
//!
//! A sum is a row of each grain; of ten thousand busy keys that is thirty thousand rows to find and to change, each second anew. So where many
//! sums are told at once they are written down as one text, which is durable at once, and added later: what was told of a key
//! many times is added once. Whoever asks of usage has them added first, so nobody ever sees that they waited.
//!
//! They are added a piece at a time, lest other changes wait. How far that is noted in the transaction of each piece: after a crash, or
//! where two processes do it at once, each sum is added once.
//!
//! Rejected: adding minutes at once and only hours and days later (a third of the work stays, each second); a file beside the
//! database (what must be whole after a crash would be two things).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    thread,
};

use keyward_core::{
    id::KeyId,
    money::Money,
    usage::{Latencies, Tokens, UsageRow, UsageScope, UsageSums},
    verdict::Reason,
};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::super::{faults::fault, reads, rows::Cells};
use crate::{error::StoreError, turns::in_turns};

/// Up to so many sums are added at once: to add them later would save nothing.
pub(in crate::sqlite) const FEW: usize = 256;
/// Sums that are added in one transaction: some milliseconds in which no other change gets in.
const PIECE: usize = 256;
/// Sums of one text.
const IN_A_TEXT: usize = 512;
/// Sums that are gathered at once, and those of one row more: a few hundred megabytes. What is told in a minute is fewer.
const MOST_GATHERED: usize = 500_000;

/// Sums as they are written down. Texts stand there once, and rows name them by their places.
#[derive(Serialize, Deserialize)]
struct Sheet<Text> {
    texts: Vec<Text>,
    rows: Vec<Line>,
}

/// One sum: minute; organization, API, route, model and reason; the key's two halves; status; figures; latencies.
type Line = (u64, [u32; 5], Option<(u64, u64)>, u16, [u64; 11], Vec<u8>);

/// Sums in texts, of so many each: one takes some hundred microseconds, before and after which others get a chance.
pub(in crate::sqlite) fn written(rows: &[UsageRow]) -> Result<Vec<String>, StoreError> {
    in_turns(1, rows.chunks(IN_A_TEXT)).map(sheet).collect()
}

fn sheet(rows: &[UsageRow]) -> Result<String, StoreError> {
    let mut texts = Texts::default();
    let rows = rows.iter().map(|row| line(row, &mut texts)).collect();
    let sheet = Sheet { texts: texts.all, rows };
    serde_json::to_string(&sheet).map_err(|error| {
        StoreError::unavailable(
            format!("usage cannot be written down ({error})"),
            "this is a defect: report it",
        )
    })
}

/// Texts, each once.
#[derive(Default)]
struct Texts<'t> {
    all: Vec<&'t str>,
    places: HashMap<&'t str, u32>,
}

impl<'t> Texts<'t> {
    fn place(&mut self, text: &'t str) -> u32 {
        let all = &mut self.all;
        *self.places.entry(text).or_insert_with(|| {
            all.push(text);
            u32::try_from(all.len() - 1).unwrap_or(u32::MAX)
        })
    }
}

fn line<'r>(row: &'r UsageRow, texts: &mut Texts<'r>) -> Line {
    let UsageRow { scope, sums, latencies } = row;
    let UsageSums { requests, latency_micros, bytes_in, bytes_out, tokens, estimated, cost } = sums;
    let Tokens { input, cached, cache_written, output, reasoning } = tokens;
    let reason = scope.reason.map_or("", Reason::name);
    let named = [&*scope.organization, &*scope.api, &*scope.route, &*scope.model, reason];
    let key = scope.key.map(|key| {
        let bits = u128::from_be_bytes(key.bits());
        #[expect(clippy::cast_possible_truncation, reason = "the halves are wanted")]
        ((bits >> 64) as u64, bits as u64)
    });
    let figures = [
        *requests,
        *latency_micros,
        *bytes_in,
        *bytes_out,
        *input,
        *cached,
        *cache_written,
        *output,
        *reasoning,
        *estimated,
        cost.billionths(),
    ];
    let named = named.map(|text| texts.place(text));
    (scope.minute, named, key, scope.status, figures, latencies.to_bytes())
}

/// The sum of a line; `None` where it names what is not there.
fn row(line: &Line, texts: &[Arc<str>]) -> Option<UsageRow> {
    let (minute, named, key, status, figures, latencies) = line;
    let text = |place: u32| texts.get(usize::try_from(place).ok()?);
    let [organization, api, route, model, reason] = named.map(text);
    let reason = match &**reason? {
        "" => None,
        name => Some(Reason::named(name)?),
    };
    let bits = |(upper, lower)| (u128::from(upper) << 64 | u128::from(lower)).to_be_bytes();
    let scope = UsageScope {
        organization: organization?.clone(),
        minute: *minute,
        key: key.map(|halves| KeyId::from_bits(bits(halves))),
        api: api?.clone(),
        route: route?.clone(),
        model: model?.clone(),
        status: *status,
        reason,
    };
    let [requests, latency_micros, bytes_in, bytes_out, tokens @ .., estimated, cost] = *figures;
    let [input, cached, cache_written, output, reasoning] = tokens;
    let sums = UsageSums {
        requests,
        latency_micros,
        bytes_in,
        bytes_out,
        tokens: Tokens { input, cached, cache_written, output, reasoning },
        estimated,
        cost: Money::from_billionths(cost),
    };
    Some(UsageRow { scope, sums, latencies: Latencies::from_bytes(latencies)? })
}

/// Sums of one text; `None` where it is something else.
fn read_back(text: &str) -> Option<Vec<UsageRow>> {
    let Sheet { texts, rows }: Sheet<String> = serde_json::from_str(text).ok()?;
    let texts: Vec<Arc<str>> = texts.into_iter().map(Arc::from).collect();
    rows.iter().map(|line| row(line, &texts)).collect()
}

/// Has sums wait.
pub(in crate::sqlite) fn put(
    connection: &Connection,
    written: &[String],
) -> Result<(), StoreError> {
    let sql = "INSERT INTO usage_waiting (sums) VALUES (?1)";
    let mut statement = connection.prepare_cached(sql).map_err(fault)?;
    in_turns(1, written).try_for_each(|text| statement.execute([text]).map(|_| ())).map_err(fault)
}

/// What waits, merged, in the table's order. It is the same whoever gathers it.
pub(in crate::sqlite) struct Waiting {
    /// The first and the last row it stood in.
    numbers: (i64, i64),
    /// The last that waited; it stands in a later turn where others were under way.
    newest: i64,
    rows: Vec<UsageRow>,
    /// So many are added already.
    added: usize,
}

/// How far it is with the adding of what waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sqlite) enum Added {
    /// So many sums; the others still wait.
    UpTo(usize),
    All,
    /// Somebody else was at it: what waits now is something else.
    Elsewhere,
}

/// How far the adding is that is under way, where these rows wait: up to which row's sums, and how many of them.
fn under_way(
    connection: &Connection,
    (first, newest): (i64, i64),
) -> Result<Option<(i64, usize)>, StoreError> {
    let found = reads::first(connection, "SELECT until, added FROM usage_adding", [], |row| {
        let cells = Cells::of("usage_adding", row);
        match (cells.number(0, "until")?, cells.number(1, "added")?) {
            (0, _) => Ok(None),
            // Up to a row that is still to come, that one would go without being added.
            (until, _) if !(first..=newest).contains(&until) => Err(cells.corrupt("until")),
            known => Ok(Some(known)),
        }
    });
    match found {
        Err(damage @ StoreError::Corrupt { .. }) => {
            tracing::error!(%damage, "how far usage is added is damaged: some seconds of it may count twice");
            Ok(None)
        }
        found => Ok(found?.flatten()),
    }
}

/// The first and the last row that wait.
fn numbers(connection: &Connection) -> Result<Option<(i64, i64)>, StoreError> {
    let sql = "SELECT number, (SELECT max(number) FROM usage_waiting) FROM usage_waiting \
        ORDER BY number LIMIT 1";
    reads::first(connection, sql, [], |row| {
        let cells = Cells::of("usage_waiting", row);
        Ok((cells.number(0, "number")?, cells.number(1, "number")?))
    })
}

/// What waits, the oldest of it where it is very much; `None` where nothing does. A row that is damaged counts nothing, and the log says
/// so: an error would keep all others waiting.
pub(in crate::sqlite) fn gather(connection: &Connection) -> Result<Option<Waiting>, StoreError> {
    gather_up_to(connection, MOST_GATHERED)
}

fn gather_up_to(connection: &Connection, most: usize) -> Result<Option<Waiting>, StoreError> {
    let Some((first, newest)) = numbers(connection)? else { return Ok(None) };
    let known = under_way(connection, (first, newest))?;
    let (until, added) = known.unwrap_or((newest, 0));
    let mut last = until;
    let mut merged: BTreeMap<UsageScope, (UsageSums, Latencies)> = BTreeMap::new();
    let sql = "SELECT number, sums FROM usage_waiting WHERE number <= ?1 ORDER BY number";
    let mut statement = connection.prepare_cached(sql).map_err(fault)?;
    let mut found = statement.query([until]).map_err(fault)?;
    while let Some(row) = found.next().map_err(fault)? {
        let cells = Cells::of("usage_waiting", row);
        match cells.text(1, "sums").ok().and_then(read_back) {
            Some(rows) => {
                // One text at a time, and others get a chance.
                thread::yield_now();
                for UsageRow { scope, sums, latencies } in rows {
                    let (known, slow) = merged.entry(scope).or_default();
                    known.add(&sums);
                    slow.merge(&latencies);
                }
            }
            None => tracing::error!(
                "usage that waited to be added is damaged: statistics lack some seconds of it"
            ),
        }
        // What is under way is gathered as far as it was.
        if known.is_none() && merged.len() >= most {
            last = cells.number(0, "number")?;
            break;
        }
    }
    let row = |(scope, (sums, latencies))| UsageRow { scope, sums, latencies };
    let rows = merged.into_iter().map(row).collect();
    Ok(Some(Waiting { numbers: (first, last), newest, rows, added }))
}

impl Waiting {
    /// How many of its sums were added when it was gathered.
    pub(in crate::sqlite) const fn added(&self) -> usize {
        self.added
    }

    /// The last row that waited when it was gathered.
    pub(in crate::sqlite) const fn newest(&self) -> i64 {
        self.newest
    }

    /// Whether what stood in this row is added with it.
    pub(in crate::sqlite) const fn reaches(&self, row: i64) -> bool {
        self.numbers.1 >= row
    }

    /// Adds the next piece, where `added` sums are added.
    pub(in crate::sqlite) fn add_piece(
        &self,
        connection: &Connection,
        added: usize,
    ) -> Result<Added, StoreError> {
        let (first, last) = self.numbers;
        let Some(waiting) = numbers(connection)? else { return Ok(Added::Elsewhere) };
        let is_ours = match under_way(connection, waiting)? {
            Some(known) => known == (last, added),
            None => added == 0 && waiting.0 == first,
        };
        if !is_ours {
            return Ok(Added::Elsewhere);
        }
        let end = self.rows.len().min(added + PIECE);
        super::add(connection, self.rows.get(added..end).unwrap_or_default())?;
        if end < self.rows.len() {
            note(connection, last, end)?;
            return Ok(Added::UpTo(end));
        }
        let sql = "DELETE FROM usage_waiting WHERE number <= ?1";
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([last]))
            .map_err(fault)?;
        note(connection, 0, 0)?;
        Ok(Added::All)
    }
}

fn note(connection: &Connection, until: i64, added: usize) -> Result<(), StoreError> {
    // Were the row gone, what is noted nowhere would be added again for ever.
    let sql = "INSERT INTO usage_adding (only_row, until, added) VALUES (1, ?1, ?2) \
        ON CONFLICT DO UPDATE SET until = ?1, added = ?2";
    let added = i64::try_from(added).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql).map_err(fault)?;
    statement.execute(params![until, added]).map(|_| ()).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::{super::super::migrations, *};
    use crate::usage::{UsageBy, UsageFilter};

    const MINUTE: u64 = 30_000_000;

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        super::super::functions(&connection).unwrap();
        migrations::everything(&connection);
        connection
    }

    fn row(number: u64) -> UsageRow {
        let mut latencies = Latencies::default();
        latencies.add(number * 50);
        latencies.add(70);
        let scope = UsageScope {
            organization: ["org", "", "other \"org\""][number as usize % 3].into(),
            minute: MINUTE + number % 2,
            key: (!number.is_multiple_of(5)).then(|| KeyId::from_bits([number as u8; 16])),
            api: "api".into(),
            route: format!("/{{rest}}/{number}").into(),
            model: "small".into(),
            status: 200 + (number % 300) as u16,
            reason: number.is_multiple_of(7).then_some(Reason::RateLimited),
        };
        let tokens =
            Tokens { input: number, cached: 1, cache_written: 2, output: u64::MAX, reasoning: 3 };
        let sums = UsageSums {
            requests: number + 1,
            latency_micros: 4,
            bytes_in: 5,
            bytes_out: 6,
            tokens,
            estimated: 7,
            cost: Money::from_billionths(8),
        };
        UsageRow { scope, sums, latencies }
    }

    fn rows(many: u64) -> Vec<UsageRow> {
        (0..many).map(row).collect()
    }

    /// By route, which each row has one of its own.
    fn requests(connection: &Connection) -> Vec<u64> {
        let filter = UsageFilter::minutes(MINUTE, MINUTE + 2);
        let filter = UsageFilter { by: vec![UsageBy::Route], ..filter };
        let mut all: Vec<_> = super::super::totals(connection, &filter).unwrap();
        all.sort_by_key(|total| total.sums.requests);
        all.into_iter().map(|total| total.sums.requests).collect()
    }

    fn gathered(connection: &Connection) -> Waiting {
        gather(connection).unwrap().unwrap()
    }

    #[test]
    fn sums_are_read_back_as_they_were() {
        for many in [0, 1, 511, 512, 513, 1500] {
            let (rows, texts) = (rows(many), written(&rows(many)).unwrap());
            assert_eq!(texts.len(), usize::try_from(many).unwrap().div_ceil(IN_A_TEXT));
            let back: Option<Vec<_>> = texts.iter().map(|text| read_back(text)).collect();
            assert_eq!(back.map(|back| back.concat()), Some(rows));
        }
        for damage in [
            "",
            "{}",
            r#"{"texts":[],"rows":[[1,[0,0,0,0,0],null,200,[0,0,0,0,0,0,0,0,0,0,0],[]]]}"#,
        ] {
            assert_eq!(read_back(damage), None, "{damage}");
        }
    }

    #[test]
    fn whoever_is_interrupted_or_overtaken_each_sum_is_added_once() {
        let many = 3 * PIECE as u64 + 10;
        for script in
            ["aaaa", "a.aaa", "abababab", "aabbbbaaaa", "a.bbbb", "aaaabbbb", "abnbbbbnbbbb"]
        {
            let connection = database();
            put(&connection, &written(&rows(many)).unwrap()).unwrap();
            put(&connection, &written(&rows(many)).unwrap()).unwrap();
            let mut told = 2;
            let both = [gathered(&connection), gathered(&connection)];
            let mut hands = both.map(|waiting| (Added::UpTo(waiting.added()), Some(waiting)));
            for step in script.chars() {
                let hand = match step {
                    'a' => &mut hands[0],
                    'b' => &mut hands[1],
                    'n' => {
                        put(&connection, &written(&rows(many)).unwrap()).unwrap();
                        told += 1;
                        continue;
                    }
                    _ => {
                        // A crash, and another start.
                        let waiting = gathered(&connection);
                        hands[0] = (Added::UpTo(waiting.added()), Some(waiting));
                        continue;
                    }
                };
                let (Added::UpTo(added), Some(waiting)) = hand else {
                    let waiting = gather(&connection).unwrap();
                    *hand = (Added::UpTo(waiting.as_ref().map_or(0, Waiting::added)), waiting);
                    continue;
                };
                hand.0 = waiting.add_piece(&connection, *added).unwrap();
            }
            while let Some(waiting) = gather(&connection).unwrap() {
                let mut done = Added::UpTo(waiting.added());
                while let Added::UpTo(added) = done {
                    done = waiting.add_piece(&connection, added).unwrap();
                }
                assert_eq!(done, Added::All, "{script}");
            }
            let expected: Vec<_> = (1..=many).map(|requests| requests * told).collect();
            assert_eq!(requests(&connection), expected, "{script}");
        }
    }

    #[test]
    fn what_is_damaged_keeps_no_other_waiting() {
        for damage in [
            "UPDATE usage_waiting SET sums = substr(sums, 1, 100) WHERE number = 2",
            "UPDATE usage_waiting SET sums = CAST(x'ff' AS TEXT) WHERE number = 2",
            "DELETE FROM usage_waiting WHERE number = 2; UPDATE usage_adding SET until = -1, added = -1",
        ] {
            let connection = database();
            for _ in 0..3 {
                put(&connection, &written(&rows(10)).unwrap()).unwrap();
            }
            connection.execute_batch(damage).unwrap();
            let waiting = gathered(&connection);
            assert_eq!(waiting.add_piece(&connection, waiting.added()).unwrap(), Added::All);
            assert!(gather(&connection).unwrap().is_none(), "{damage}");
            let expected: Vec<_> = (1..=10).map(|requests| requests * 2).collect();
            assert_eq!(requests(&connection), expected, "{damage}");
        }
    }

    #[test]
    fn what_is_too_much_at_once_is_added_in_turns() {
        let many = 2 * PIECE as u64;
        let connection = database();
        for _ in 0..3 {
            put(&connection, &written(&rows(many)).unwrap()).unwrap();
        }
        let turn = |most| gather_up_to(&connection, most).unwrap();
        for reached in 1..=3 {
            let waiting = turn(1).unwrap();
            assert!(waiting.reaches(reached) && !waiting.reaches(reached + 1));
            assert_eq!(waiting.newest(), 3);
            assert_eq!(waiting.add_piece(&connection, 0).unwrap(), Added::UpTo(PIECE));
            // Whoever goes on gathers the same, whatever is too much for them.
            let waiting = turn(usize::MAX).unwrap();
            assert!(!waiting.reaches(reached + 1));
            assert_eq!(waiting.add_piece(&connection, PIECE).unwrap(), Added::All);
        }
        assert!(turn(1).is_none());
        let expected: Vec<_> = (1..=many).map(|requests| requests * 3).collect();
        assert_eq!(requests(&connection), expected);
    }

    #[test]
    fn wherever_it_says_the_adding_is_each_sum_is_added() {
        let many = 2 * PIECE as u64;
        for damage in [
            "DELETE FROM usage_adding",
            "UPDATE usage_adding SET until = -1",
            "UPDATE usage_adding SET until = 1000",
            "UPDATE usage_adding SET until = 1000, added = 1000",
        ] {
            let connection = database();
            put(&connection, &written(&rows(many)).unwrap()).unwrap();
            connection.execute_batch(damage).unwrap();
            let mut told = 1;
            for _ in 0..5 {
                let Some(waiting) = gather(&connection).unwrap() else { break };
                if told == 1 {
                    put(&connection, &written(&rows(many)).unwrap()).unwrap();
                    told += 1;
                }
                let mut done = Added::UpTo(waiting.added());
                while let Added::UpTo(added) = done {
                    done = waiting.add_piece(&connection, added).unwrap();
                }
            }
            assert!(gather(&connection).unwrap().is_none(), "{damage}");
            let expected: Vec<_> = (1..=many).map(|requests| requests * told).collect();
            assert_eq!(requests(&connection), expected, "{damage}");
        }
    }
}
