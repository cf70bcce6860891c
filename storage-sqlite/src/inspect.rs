//! What a person asks for (`opifex store check`) and no walk of records shows: what SQLite says of its file, and whether
//! the counts of references to bodies are those of the rows that name them. It looks at everything and changes nothing.

use opifex_storage::{ErrorKind, StoreError};

use crate::fault::{Fault, Result};
use crate::state::State;

/// So much is named of each kind; of what is more only the number is.
const MAX_NAMED: usize = 1000;

/// The rows that name bodies, and how many name each.
macro_rules! with_named {
    ($select:literal) => {
        concat!(
            "WITH named (id) AS (SELECT message FROM queue WHERE message IS NOT NULL UNION ALL SELECT message FROM \
             retained UNION ALL SELECT message FROM wills), counted (id, rows) AS (SELECT id, count(*) FROM named \
             GROUP BY id) ",
            $select
        )
    };
}

impl State<'_> {
    /// What is wrong of it, a line each.
    pub(crate) fn inspect(&self) -> Vec<StoreError> {
        let mut faults = Vec::new();
        for lines in [self.what_the_engine_says(), self.wrong_counts(), self.missing_bodies()] {
            // What cannot be read hides the rest of its kind, and that alone.
            let mut lines = lines.unwrap_or_else(|fault| vec![StoreError::from(fault).to_string()]);
            if lines.len() > MAX_NAMED {
                let more = lines.len() - MAX_NAMED;
                lines.truncate(MAX_NAMED);
                lines.push(format!("{more} more of the kind"));
            }
            faults.extend(lines.into_iter().map(|line| StoreError::not_applied(ErrorKind::Corrupt, line)));
        }
        faults
    }

    /// SQLite's own check of all its pages, tables and indices.
    fn what_the_engine_says(&self) -> Result<Vec<String>> {
        let mut check = self.db()?.prepare(&format!("PRAGMA integrity_check({MAX_NAMED})"))?;
        let said = check.query_map([], |row| row.get::<_, String>(0))?;
        let lines = said.filter(|line| line.as_ref().map_or(true, |line| line != "ok"));
        lines.map(|line| Ok(format!("sqlite's integrity check: {}", line?))).collect()
    }

    /// Bodies whose counts are not those of the rows that name them, or that none names.
    fn wrong_counts(&self) -> Result<Vec<String>> {
        let sql = with_named!(
            "SELECT m.id, m.refs, coalesce(c.rows, 0) FROM messages m LEFT JOIN counted c ON c.id = m.id WHERE m.refs \
             IS NOT coalesce(c.rows, 0) ORDER BY m.id"
        );
        self.lines(sql, |[id, refs, rows]| match rows {
            0 => format!("the row of table messages with id {id} is there, and no row names it"),
            _ => format!(
                "the row of table messages with id {id} counts {refs} references, and {rows} rows name it"
            ),
        })
    }

    /// Bodies that rows name, and that are not there.
    fn missing_bodies(&self) -> Result<Vec<String>> {
        let sql = with_named!(
            "SELECT c.id, c.rows, 0 FROM counted c LEFT JOIN messages m ON m.id = c.id WHERE m.id IS NULL ORDER BY c.id"
        );
        self.lines(sql, |[id, ..]| format!("the row of table messages with id {id} is missing"))
    }

    fn lines(&self, sql: &str, line: impl Fn([i64; 3]) -> String) -> Result<Vec<String>> {
        let mut statement = self.db()?.prepare(sql)?;
        let found = statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))?;
        found.map(|numbers| Ok(line(numbers.map_err(Fault::from)?))).collect()
    }
}
