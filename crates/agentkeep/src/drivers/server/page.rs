//! Where a page of records ended.

use crate::driver::{Find, Record};
use crate::error::Result;
use crate::schema::{BY_TURN, FieldValue, Order, Value};

/// The values of all the index's fields, at the place that the query looked at.
pub(in crate::drivers) fn values(find: &Find, record: &Record) -> Result<Vec<Value>> {
    if find.index.name == BY_TURN.name {
        return Ok(record.turn.iter().map(|turn| Value::text(turn.as_str())).collect());
    }
    let fields = find.table.extract(&record.body)?;
    let value =
        |(i, (name, _)): (usize, &(&str, Order))| match fields.get(find.table.field(name)?)? {
            FieldValue::One(value) => Some(value.clone()),
            FieldValue::Many(_) => find.equal.get(i).cloned(),
        };
    Ok(find.index.fields.iter().enumerate().filter_map(value).collect())
}
