//! Refuses numbers that JSON does not have: `serde_json` writes `null` for them without a word.

use serde::ser::{self, Error as _, Serialize};

/// What is told of such a number.
const WORDS: &str = "a number is NaN or infinite, which JSON cannot say";

/// Goes over a value and writes nothing.
pub(super) struct Finite;

/// Why a value is refused.
#[derive(Debug)]
pub(super) struct Refused(String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl ser::Error for Refused {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

type Checked = Result<(), Refused>;

/// What is no float is fine.
macro_rules! fine {
    ($($name:ident($type:ty)),*) => {
        $(fn $name(self, _: $type) -> Checked {
            Ok(())
        })*
    };
}

impl ser::Serializer for Finite {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fine!(
        serialize_bool(bool),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_i128(i128),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_u128(u128),
        serialize_char(char),
        serialize_str(&str),
        serialize_bytes(&[u8]),
        serialize_unit_struct(&'static str)
    );

    fn serialize_f32(self, number: f32) -> Checked {
        self.serialize_f64(f64::from(number))
    }

    fn serialize_f64(self, number: f64) -> Checked {
        if number.is_finite() { Ok(()) } else { Err(Refused::custom(WORDS)) }
    }

    fn serialize_none(self) -> Checked {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Checked {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Checked {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Checked {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Checked {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Checked {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Refused> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Refused> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Refused> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Refused> {
        Ok(self)
    }

    fn collect_str<T: std::fmt::Display + ?Sized>(self, _: &T) -> Checked {
        Ok(())
    }
}

/// Lists and members, by the trait and the name of its function.
macro_rules! parts {
    ($($trait:ident: $name:ident($($key:ty)?);)*) => {
        $(impl ser::$trait for Finite {
            type Ok = ();
            type Error = Refused;

            fn $name<T: Serialize + ?Sized>(&mut self, $(_: $key,)? value: &T) -> Checked {
                value.serialize(Finite)
            }

            fn end(self) -> Checked {
                Ok(())
            }
        })*
    };
}

parts! {
    SerializeSeq: serialize_element();
    SerializeTuple: serialize_element();
    SerializeTupleStruct: serialize_field();
    SerializeTupleVariant: serialize_field();
    SerializeStruct: serialize_field(&'static str);
    SerializeStructVariant: serialize_field(&'static str);
}

impl ser::SerializeMap for Finite {
    type Ok = ();
    type Error = Refused;

    /// Keys that are numbers are `serde_json`'s to refuse.
    fn serialize_key<T: Serialize + ?Sized>(&mut self, _: &T) -> Checked {
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Checked {
        value.serialize(Finite)
    }

    fn end(self) -> Checked {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use crate::error::Kind;
    use crate::json::Json;

    #[derive(Serialize)]
    enum Deep {
        Unit,
        One(f64),
        Two(u8, f32),
        Named { n: Option<f64> },
    }

    #[derive(Serialize)]
    struct Newtype(f64);

    fn refused<T: Serialize>(value: &T) {
        let error = Json::of(value).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
        assert!(error.to_string().contains("NaN"), "{error}");
    }

    #[test]
    fn numbers_that_json_does_not_have_are_refused_wherever_they_stand() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            refused(&bad);
            refused(&Newtype(bad));
            refused(&Some(bad));
            refused(&[1.0, bad]);
            refused(&(bad, "text"));
            refused(&BTreeMap::from([("k", vec![bad])]));
            refused(&Deep::One(bad));
            refused(&Deep::Named { n: Some(bad) });
        }
        refused(&f32::NAN);
        refused(&Deep::Two(1, f32::INFINITY));
    }

    #[test]
    fn what_is_null_stays_null() {
        let json = Json::parse(r#"{"a":null,"n":1.50}"#).unwrap();
        let value = (None::<f64>, (), Deep::Unit, Deep::Named { n: None }, "null", json, 1e308);
        let text = r#"[null,null,"Unit",{"Named":{"n":null}},"null",{"a":null,"n":1.50},1e+308]"#;
        assert_eq!(Json::of(&value).unwrap(), Json::parse(text).unwrap());
    }
}
