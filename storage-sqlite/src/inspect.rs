//! What a person asks for (`opifex store check`) and no walk of records shows: what SQLite says of its file, and whether
//! the counts of references to bodies are those of the rows that name them. It looks at everything and changes nothing.

use opifex_storage::{ErrorKind, FaultList, StoreError};

use crate::fault::Result;
use crate::state::State;

/// So much SQLite says of its file.
const MAX_SAID: usize = 1000;

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
    /// What is wrong of it, a line each. A disk that cannot be read, or an engine that fails otherwise, is no finding, but
    /// an error.
    pub(crate) fn inspect(&self) -> Result<Vec<StoreError>> {
        let mut found = Vec::new();
        for look in [State::what_the_engine_says, State::wrong_counts, State::missing_bodies] {
            let mut faults = FaultList::default();
            match look(self, &mut faults).map_err(StoreError::from) {
                // What cannot be read hides the rest of its kind, and that alone.
                Err(error) if error.kind() == ErrorKind::Corrupt => faults.add(error),
                looked => looked?,
            }
            found.append(&mut faults.into_lines());
        }
        Ok(found)
    }

    /// SQLite's own check of all its pages, tables and indices.
    fn what_the_engine_says(&self, faults: &mut FaultList) -> Result<()> {
        let mut check = self.db()?.prepare(&format!("PRAGMA integrity_check({MAX_SAID})"))?;
        for line in check.query_map([], |row| row.get::<_, String>(0))? {
            let line = line?;
            if line != "ok" {
                faults.note(|| format!("sqlite's integrity check: {line}"));
            }
        }
        Ok(())
    }

    /// Bodies whose counts are not those of the rows that name them, or that none names.
    fn wrong_counts(&self, faults: &mut FaultList) -> Result<()> {
        let sql = with_named!(
            "SELECT m.id, m.refs, coalesce(c.rows, 0) FROM messages m LEFT JOIN counted c ON c.id = m.id WHERE m.refs \
             IS NOT coalesce(c.rows, 0) ORDER BY m.id"
        );
        self.each(faults, sql, |[id, refs, rows]| match rows {
            0 => format!("the row of table messages with id {id} is there, and no row names it"),
            _ => format!(
                "the row of table messages with id {id} counts {refs} references, and {rows} rows name it"
            ),
        })
    }

    /// Bodies that rows name, and that are not there.
    fn missing_bodies(&self, faults: &mut FaultList) -> Result<()> {
        let sql = with_named!(
            "SELECT c.id, c.rows, 0 FROM counted c LEFT JOIN messages m ON m.id = c.id WHERE m.id IS NULL ORDER BY c.id"
        );
        self.each(faults, sql, |[id, ..]| format!("the row of table messages with id {id} is missing"))
    }

    fn each(&self, faults: &mut FaultList, sql: &str, line: impl Fn([i64; 3]) -> String) -> Result<()> {
        let mut statement = self.db()?.prepare(sql)?;
        for numbers in statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))? {
            let numbers = numbers?;
            faults.note(|| line(numbers));
        }
        Ok(())
    }
}
