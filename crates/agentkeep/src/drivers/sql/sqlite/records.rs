//! Records: writing and deleting them, with their places in list indexes.

use rusqlite::{ToSql, params};

use super::apply::{Apply, Outcomes, Stop, refuse, with_key};
use super::rows::{self, Indexed, refs_text, signed};
use super::sums::floor_sum;
use crate::driver::{Hash, Outcome, Put, Save};
use crate::error::Kind;
use crate::json::Json;
use crate::schema::{FieldValue, Key, NAMESPACES, Table};

/// A record that is about to go.
struct Old {
    version: u64,
    refs: Vec<Hash>,
    body: Json,
    turn: Option<String>,
}

/// How a record is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    Insert,
    Update,
    /// It stands in its indexes as before.
    Touch,
}

impl Apply<'_> {
    fn old(&self, key: &Key) -> Outcomes<Option<Old>> {
        let sql = &self.table(key.table())?.old;
        let mut statement = self.connection.prepare_cached(sql)?;
        let old = with_key(self.namespace, key, |parameters| {
            let mut rows = statement.query(parameters)?;
            rows.next()?
                .map(|row| -> Outcomes<_> {
                    let refs = rows::refs_from(rows::optional_text(row, 1)?)?;
                    let body = Json::from_stored(rows::text(row, 2)?)?;
                    let turn = rows::optional_text(row, 3)?.map(str::to_owned);
                    Ok(Old { version: rows::number(row, 0)?, refs, body, turn })
                })
                .transpose()
        })?;
        Ok(old)
    }

    pub(super) fn put(&mut self, put: &Put) -> Outcomes<Outcome> {
        self.only_our_name(&put.key)?;
        self.made = true;
        // Most of what is new was expected to be absent, and has been looked for. No batch writes a
        // record twice.
        let known = self.cache.version(self.namespace, &put.key);
        // Nor is what must be new looked for: the insert finds out.
        let unseen =
            known.is_none() && put.save == Save::Create && put.key.table().name != NAMESPACES.name;
        let old = if known == Some(0) || unseen { None } else { self.old(&put.key)? };
        let found = old.as_ref().map_or(0, |old| old.version);
        match put.save {
            Save::Create if found > 0 => {
                return there_already(&put.key);
            }
            Save::At(version) if version != found => {
                let message = format!("the record has version {found}, not {version}");
                return refuse(Kind::Conflict, &message, &put.key);
            }
            _ => {}
        }
        let refs = match self.refer(&put.refs, &put.key) {
            // What is told first is that it is there.
            Err(Stop::Refused(_)) if unseen && self.old(&put.key)?.is_some() => {
                return there_already(&put.key);
            }
            refs => refs?,
        };
        let version = if found > 0 { found + 1 } else { self.floor(put.key.table())? + 1 };
        let how = match &old {
            None => Write::Insert,
            Some(old)
                if old.turn.as_deref() == self.turn
                    && put.key.table().extract(&old.body)? == put.fields =>
            {
                Write::Touch
            }
            Some(_) => Write::Update,
        };
        if !self.write(put, version, &refs, how)? {
            return match put.save {
                Save::Create => there_already(&put.key),
                _ => Err(rows::damaged(put.key.to_string()).into()),
            };
        }
        if how != Write::Touch {
            if let Some(old) = &old {
                self.unlist(&put.key, &old.body)?;
            }
            self.list(&put.key, &put.fields)?;
        }
        for hash in old.iter().flat_map(|old| &old.refs) {
            self.release(*hash)?;
        }
        self.versions.push((put.key.clone(), version));
        Ok(Outcome::Put { version })
    }

    /// False when what is to be inserted is there.
    fn write(&self, put: &Put, version: u64, refs: &[Hash], how: Write) -> Outcomes<bool> {
        let (key, body) = (&put.key, put.body.as_str());
        let refs = refs_text(refs);
        let sum = rows::record_sum(self.namespace, key, body, version, self.turn, refs.as_deref());
        let version = signed(version);
        let table = self.table(key.table())?;
        let fields: Vec<Indexed<'_>> = key
            .table()
            .fields
            .iter()
            .zip(&put.fields)
            .filter_map(|(field, value)| match value {
                FieldValue::One(value) if !field.many => Some(Indexed(value)),
                _ => None,
            })
            .collect();
        let sql = match how {
            Write::Insert => &table.insert,
            Write::Update => &table.update,
            Write::Touch => &table.touch,
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        let written = with_key(self.namespace, key, |parameters| {
            let mut all = parameters.to_vec();
            if how == Write::Touch {
                all.extend([&version as &dyn ToSql, &refs, &body, &sum]);
                return statement.execute(all.as_slice());
            }
            all.extend(fields.iter().map(|field| field as &dyn ToSql));
            all.extend([&version as &dyn ToSql, &self.turn, &refs, &body, &sum]);
            statement.execute(all.as_slice())
        })?;
        Ok(written > 0)
    }

    /// The rows of a record in its list indexes.
    fn each_listed(&self, key: &Key, fields: &[FieldValue], insert: bool) -> Outcomes<()> {
        let table = key.table();
        for (index, add, remove) in &self.table(table)?.lists {
            let values: Vec<&FieldValue> = index
                .fields
                .iter()
                .filter_map(|(name, _)| fields.get(table.field(name)?))
                .collect();
            let Some((FieldValue::Many(list), others)) = values.split_first() else { continue };
            let mut statement =
                self.connection.prepare_cached(if insert { add } else { remove })?;
            for value in list {
                let namespace = self.namespace.as_str();
                let mut row: Vec<Box<dyn ToSql + '_>> = vec![Box::new(namespace)];
                row.push(Box::new(Indexed(value)));
                for other in others {
                    if let FieldValue::One(value) = other {
                        row.push(Box::new(Indexed(value)));
                    }
                }
                row.extend(key.parts().map(|part| Box::new(part) as Box<dyn ToSql + '_>));
                statement.execute(rusqlite::params_from_iter(row.iter()))?;
            }
        }
        Ok(())
    }

    fn list(&self, key: &Key, fields: &[FieldValue]) -> Outcomes<()> {
        self.each_listed(key, fields, true)
    }

    fn unlist(&self, key: &Key, body: &Json) -> Outcomes<()> {
        if self.table(key.table())?.lists.is_empty() {
            return Ok(());
        }
        self.each_listed(key, &key.table().extract(body)?, false)
    }

    pub(super) fn delete(&mut self, key: &Key) -> Outcomes<Outcome> {
        self.only_our_name(key)?;
        if key.table().name == NAMESPACES.name {
            self.unname(key)?;
        }
        let Some(Old { version, refs, body, .. }) = self.old(key)? else {
            return Ok(Outcome::Deleted { existed: false });
        };
        self.raise_floor(key.table(), version)?;
        self.unlist(key, &body)?;
        let sql = &self.table(key.table())?.delete;
        let mut statement = self.connection.prepare_cached(sql)?;
        with_key(self.namespace, key, |key| statement.execute(key))?;
        for hash in refs {
            self.release(hash)?;
        }
        self.versions.push((key.clone(), 0));
        Ok(Outcome::Deleted { existed: true })
    }

    /// The row of the scope in `_floors`: each namespace has one for its records, and one for each
    /// built-in table. No id holds the separator.
    fn scope(&self, built_in: &str) -> String {
        match built_in {
            "" => self.namespace.to_string(),
            name => format!("{}\u{1f}{name}", self.namespace),
        }
    }

    /// The largest version that a deleted record of the scope had.
    pub(super) fn floor(&mut self, table: &'static Table) -> Outcomes<u64> {
        let built_in = built_in(table);
        if let Some(floor) = self.floors.get(built_in) {
            return Ok(*floor);
        }
        if let Some(floor) = self.cache.floor(self.namespace, built_in) {
            return Ok(floor);
        }
        let sql = "SELECT floor, crc FROM _floors WHERE namespace = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let scope = self.scope(built_in);
        let mut found = statement.query([&scope])?;
        let mut floor = 0;
        if let Some(row) = found.next()? {
            floor = rows::integer(row, 0)?;
            if i64::from(floor_sum(&scope, floor)) != rows::integer(row, 1)? {
                return Err(rows::damaged(format!("_floors {scope:?}")).into());
            }
        }
        let floor = floor.cast_unsigned();
        self.cache.set_floor(self.namespace, built_in, Some(floor));
        Ok(floor)
    }

    pub(super) fn raise_floor(&mut self, table: &'static Table, version: u64) -> Outcomes<()> {
        if self.floor(table)? >= version {
            return Ok(());
        }
        let sql = "INSERT INTO _floors(namespace, floor, crc) VALUES (?1, ?2, ?3) \
                   ON CONFLICT(namespace) DO UPDATE SET floor = excluded.floor, crc = excluded.crc";
        let mut statement = self.connection.prepare_cached(sql)?;
        let built_in = built_in(table);
        let (scope, floor) = (self.scope(built_in), signed(version));
        statement.execute(params![scope, floor, floor_sum(&scope, floor)])?;
        self.cache.set_floor(self.namespace, built_in, None);
        self.floors.insert(built_in, version);
        Ok(())
    }
}

fn there_already<T>(key: &Key) -> Outcomes<T> {
    refuse(Kind::AlreadyExists, "the record exists already", key)
}

/// The name of a built-in table, or nothing: all other tables have one floor.
fn built_in(table: &'static Table) -> &'static str {
    if table.name.starts_with('_') { table.name } else { "" }
}
