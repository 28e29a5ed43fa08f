//! The values of the indexed fields in a body.

use super::{Field, FieldValue, MAX_INDEXED_TEXT, Table, Value};
use crate::error::{Error, Kind, Result};
use crate::json::Json;

impl Table {
    /// The indexed fields of `body`, in the order of [`fields`](Self::fields).
    ///
    /// # Errors
    /// `TooLarge` for a text beyond [`MAX_INDEXED_TEXT`].
    pub fn extract(&self, body: &Json) -> Result<Vec<FieldValue>> {
        // Most fields of a table stand in the same member.
        let mut opened: Option<(&str, Option<&str>)> = None;
        let mut fields = Vec::with_capacity(self.fields.len());
        for field in self.fields {
            let found = match field.path {
                [first, rest @ ..] if !rest.is_empty() => {
                    let member = match opened {
                        Some((name, member)) if name == *first => member,
                        _ => body.raw_member(first),
                    };
                    opened = Some((first, member));
                    rest.iter().fold(member, |at, step| Json::raw_member_of(at?, step))
                }
                path => path.first().map_or(Some(body.as_str()), |name| body.raw_member(name)),
            };
            fields.push(field.value(found)?);
        }
        Ok(fields)
    }
}

impl Field {
    /// The value in the index of what stands at the path.
    fn value(&self, found: Option<&str>) -> Result<FieldValue> {
        if !self.many {
            return self.checked(found.map_or(Value::Missing, Value::of_json)).map(FieldValue::One);
        }
        let elements = found.into_iter().flat_map(Json::elements_of);
        let mut values: Vec<Value> =
            elements.map(|element| self.checked(Value::of_json(element))).collect::<Result<_>>()?;
        values.sort();
        values.dedup();
        Ok(FieldValue::Many(values))
    }

    fn checked(&self, value: Value) -> Result<Value> {
        match &value {
            Value::Text(text) if text.len() > MAX_INDEXED_TEXT => {
                let message = format!("the field {} has {} bytes", self.path.join("."), text.len());
                Err(Error::new(Kind::TooLarge, message)
                    .advice(format!("an indexed text has at most {MAX_INDEXED_TEXT} bytes")))
            }
            _ => Ok(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_what_stands_at_its_path_whichever_came_before() {
        const fn field(path: &'static [&'static str], many: bool) -> Field {
            Field { name: "f", path, many, since: 0 }
        }
        static FIELDS: [Field; 6] = [
            field(&["x", "y"], false),
            field(&["z"], false),
            field(&["x", "w", "v"], false),
            field(&["w", "v"], false),
            field(&["x", "t"], true),
            field(&["x"], false),
        ];
        let table = Table { name: "t", since: 1, key: &["k"], fields: &FIELDS, indexes: &[] };
        let fields = |body: &str| table.extract(&Json::parse(body).unwrap()).unwrap();
        let text = |text: &str| Value::Text(text.to_owned());
        let one = FieldValue::One;
        let whole = r#"{"w":{"v":"w"},"x":{"w":{"v":"q\n"},"t":["b",{},"a","b"],"y":1},"z":true}"#;
        let listed = FieldValue::Many(vec![Value::Missing, text("a"), text("b")]);
        assert_eq!(
            fields(whole),
            [
                one(Value::integer(1)),
                one(Value::Bool(true)),
                one(text("q\n")),
                one(text("w")),
                listed,
                one(Value::Missing)
            ]
        );
        let missing = || one(Value::Missing);
        let none = || FieldValue::Many(Vec::new());
        let other = [missing(), missing(), missing(), missing(), none(), one(text("x"))];
        assert_eq!(fields(r#"{"x":"x","w":[]}"#), other);
        let nothing = [missing(), missing(), missing(), missing(), none(), missing()];
        assert_eq!(fields("[1]"), nothing);
    }
}
