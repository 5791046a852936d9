//! Lists of keys: which of the ways through the table finds them without looking at what is not shown.

use keyward_core::{
    id::{ApiName, KeyId, OrganizationId},
    key::{Environment, KeyState},
};
use rusqlite::{Connection, params_from_iter, types::Value};

use super::{
    reads::{self, all, first},
    rows::{self, Cells, millis},
};
use crate::{
    error::StoreError,
    query::{Ending, KeyFilter, KeyRecord, Page},
};

/// A word on more keys than this is no way to them: it is cheaper to walk the list and look at each key's words.
const MOST_BY_WORD: i64 = 5_000;

/// A statement in the making: texts with the values they ask for.
struct Statement {
    sql: String,
    asked: Vec<Value>,
}

impl Statement {
    /// Puts in a text whose `?` ask for these values.
    fn push(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(sql);
        self.asked.extend(values);
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// The statement that lists keys behind the place `behind`; `by_word` is the word, of those asked for, that leads to few.
fn list(filter: &KeyFilter, behind: i64, limit: i64, by_word: Option<usize>) -> Statement {
    // Named, because the planner guesses: it would walk a million active keys to find the ten of an organization.
    let index = match filter {
        _ if by_word.is_some() => "",
        KeyFilter { owner: Some(_), .. } => " INDEXED BY keys_of_owner",
        KeyFilter { organization: Some(_), .. } => " INDEXED BY keys_of_organization",
        KeyFilter { api: Some(_), .. } => " INDEXED BY keys_of_api",
        KeyFilter { state: Some(_), .. } => " INDEXED BY keys_in_state",
        _ => "",
    };
    let sql = format!("SELECT {} FROM keys{index} WHERE seq > ?", rows::KEY);
    let mut statement = Statement { sql, asked: vec![Value::Integer(behind)] };
    let narrow = [
        ("organization", filter.organization.as_ref().map(OrganizationId::as_str)),
        ("api", filter.api.as_ref().map(ApiName::as_str)),
        ("state", filter.state.map(KeyState::as_str)),
        ("environment", filter.environment.as_ref().map(Environment::as_str)),
    ];
    for (column, wanted) in narrow {
        let Some(wanted) = wanted else { continue };
        statement.push(&format!(" AND {column} = ?"), [text(wanted)]);
    }
    if let Some(owner) = filter.owner {
        statement.push(" AND owner = ?", [Value::Blob(owner.bits().to_vec())]);
    }
    match filter.ending {
        Some(Ending::By(end)) => {
            statement.push(" AND expires_at <= ?", [Value::Integer(millis(end))]);
        }
        Some(Ending::After(end)) => {
            let sql = " AND (expires_at IS NULL OR expires_at > ?)";
            statement.push(sql, [Value::Integer(millis(end))]);
        }
        None => {}
    }
    if let Some(since) = filter.unused_since {
        let sql = " AND created_at < ? AND NOT EXISTS (SELECT 1 FROM secrets \
            WHERE key_seq = seq AND last_used_at >= ?)";
        statement.push(sql, [Value::Integer(millis(since)), Value::Integer(millis(since))]);
    }
    for (at, word) in filter.words.iter().enumerate() {
        let (from, until) = word.range();
        match (by_word == Some(at), &filter.organization) {
            (true, Some(organization)) => statement.push(
                " AND seq IN (SELECT key_seq FROM key_words \
                 WHERE key_words.organization = ? AND word >= ? AND word < ?)",
                [text(organization.as_str()), Value::Text(from), Value::Text(until)],
            ),
            _ => statement.push(
                " AND EXISTS (SELECT 1 FROM key_words INDEXED BY words_of_key \
                 WHERE key_seq = seq AND word >= ? AND word < ?)",
                [Value::Text(from), Value::Text(until)],
            ),
        }
    }
    statement.push(" ORDER BY seq LIMIT ?", [Value::Integer(limit)]);
    statement
}

/// The word that leads to the fewest keys of the organization, where that are few.
fn leading_word(connection: &Connection, filter: &KeyFilter) -> Result<Option<usize>, StoreError> {
    let Some(organization) = &filter.organization else { return Ok(None) };
    let sql = "SELECT 0, count(*) FROM (SELECT 1 FROM key_words \
        WHERE organization = ?1 AND word >= ?2 AND word < ?3 LIMIT ?4)";
    let mut fewest = None;
    for (at, word) in filter.words.iter().enumerate() {
        let (from, until) = word.range();
        let most = fewest.map_or(MOST_BY_WORD, |(fewest, _)| fewest);
        let asked = rusqlite::params![organization.as_str(), from, until, most];
        let read = |row: &rusqlite::Row<'_>| Cells::of("key_words", row).integer(1, "count");
        let found = first(connection, sql, asked, read)?.unwrap_or(most);
        if found < most {
            fewest = Some((found, at));
        }
    }
    Ok(fewest.map(|(_, at)| at))
}

/// Keys in the order they were made.
pub(super) fn keys(
    connection: &Connection,
    filter: &KeyFilter,
    page: &Page<KeyId>,
) -> Result<Vec<KeyRecord>, StoreError> {
    let mut behind = 0;
    if let Some(id) = page.after {
        // One of another organization is as unknown here as one that does not exist.
        let held = reads::held_key(connection, id)?.filter(|held| {
            filter.organization.as_ref().is_none_or(|of| held.key.organization == *of)
        });
        behind = held.ok_or(StoreError::NoSuchKey(id))?.seq;
    }
    let by_word = leading_word(connection, filter)?;
    let Statement { sql, asked } = list(filter, behind, page.rows(), by_word);
    all(connection, &sql, params_from_iter(asked), reads::held)?
        .into_iter()
        .map(|held| reads::with_secrets(connection, held))
        .collect()
}

#[cfg(test)]
mod tests {
    use keyward_core::id::UserId;

    use super::*;
    use crate::words::Word;

    fn plan(filter: &KeyFilter, by_word: Option<usize>) -> Vec<String> {
        let connection = Connection::open_in_memory().unwrap();
        super::super::migrations::everything(&connection);
        let Statement { sql, asked } = list(filter, 0, 9, by_word);
        let mut plan = all(
            &connection,
            &format!("EXPLAIN QUERY PLAN {sql}"),
            params_from_iter(asked),
            |row| Ok(row.get::<_, String>(3).unwrap()),
        )
        .unwrap();
        // Beside the walk, the owner's role is looked up for each key that has an owner.
        plan.retain(|line| !line.contains("memberships") && !line.contains("SUBQUERY"));
        plan
    }

    #[test]
    fn every_list_of_keys_walks_one_index_in_its_order() {
        let organization = Some("org".parse().unwrap());
        let api = Some("api".parse().unwrap());
        let state = Some(KeyState::Active);
        let none = KeyFilter::default();
        let of_organization = "USING INDEX keys_of_organization (organization=? AND seq>?)";
        let cases = [
            (none.clone(), "USING INTEGER PRIMARY KEY (rowid>?)"),
            (
                KeyFilter { organization: organization.clone(), state, ..none.clone() },
                of_organization,
            ),
            (KeyFilter { organization, api: api.clone(), state, ..none.clone() }, of_organization),
            (KeyFilter { api, state, ..none.clone() }, "USING INDEX keys_of_api (api=? AND seq>?)"),
            (KeyFilter { state, ..none.clone() }, "USING INDEX keys_in_state (state=? AND seq>?)"),
            (
                KeyFilter { owner: Some(UserId::from_bits([1; 16])), state, ..none },
                "USING INDEX keys_of_owner (owner=? AND seq>?)",
            ),
        ];
        for (filter, expected) in cases {
            assert_eq!(plan(&filter, None), [format!("SEARCH keys {expected}")]);
        }
    }

    #[test]
    fn a_search_goes_by_a_rare_word_or_looks_at_the_words_of_each_key() {
        let filter = KeyFilter {
            organization: Some("org".parse().unwrap()),
            words: Word::asked("a b"),
            ..KeyFilter::default()
        };
        let words = "SEARCH key_words EXISTS USING COVERING INDEX words_of_key (key_seq=? AND word>? AND word<?)";
        assert_eq!(
            plan(&filter, Some(1)),
            [
                "SEARCH keys USING INDEX keys_of_organization (organization=? AND seq=?)",
                "SEARCH key_words USING PRIMARY KEY (organization=? AND word>? AND word<?)",
                words
            ]
        );
        assert_eq!(
            plan(&filter, None),
            [
                "SEARCH keys USING INDEX keys_of_organization (organization=? AND seq>?)",
                words,
                words
            ]
        );
    }
}
