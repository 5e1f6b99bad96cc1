//! Binding values: `$1`, `$2`, … from a tuple, `$name` from the fields of a batch's row, by `Serialize`.

use rusqlite::types::Null;
use rusqlite::{Statement, ToSql};
use serde::Serialize;
use serde::ser::{Error as _, Impossible, SerializeMap, SerializeStruct, Serializer};
use serde_json::value::{Map, Value};

use super::error::failure;
use crate::values::Binds;

type Error = serde::de::value::Error;

/// Binds the values of a tuple. A statement that does not name one of them does without it.
pub(super) fn values(statement: &mut Statement<'_>, binds: &impl Binds, first: usize) -> sqlx::Result<()> {
    const NAMES: [&str; 15] =
        ["$1", "$2", "$3", "$4", "$5", "$6", "$7", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15"];
    let bound = binds.sqlite(first, &mut |number, value| {
        let name = NAMES.get(number).copied().unwrap_or_default();
        match statement.parameter_index(name)? {
            Some(place) => statement.raw_bind_parameter(place, value),
            None => Ok(()),
        }
    });
    bound.map_err(failure)
}

/// Binds row after row of a batch; the places of the fields are looked up for the first.
#[derive(Default)]
pub(super) struct RowBinder {
    places: Vec<Option<usize>>,
}

impl RowBinder {
    pub(super) fn bind<T: Serialize>(&mut self, statement: &mut Statement<'_>, row: &T) -> sqlx::Result<()> {
        let fields = Fields { statement, places: &mut self.places };
        row.serialize(fields).map_err(|error| sqlx::Error::Encode(error.into()))
    }
}

struct Fields<'b, 'c> {
    statement: &'b mut Statement<'c>,
    places: &'b mut Vec<Option<usize>>,
}

struct OneByOne<'b, 'c> {
    fields: Fields<'b, 'c>,
    next: usize,
}

impl SerializeStruct for OneByOne<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        let Fields { statement, places } = &mut self.fields;
        if places.len() == self.next {
            places.push(statement.parameter_index(&format!("${name}")).map_err(Error::custom)?);
        }
        if let Some(Some(place)) = places.get(self.next) {
            value.serialize(Place { statement, place: *place })?;
        }
        self.next += 1;
        Ok(())
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

/// Where one value goes. It is not for people to read: a UUID is its sixteen bytes.
struct Place<'b, 'c> {
    statement: &'b mut Statement<'c>,
    place: usize,
}

impl Place<'_, '_> {
    fn bind(self, value: impl ToSql) -> Result<(), Error> {
        self.statement.raw_bind_parameter(self.place, value).map_err(|error| Error::custom(failure(error)))
    }
}

/// A JSON object on its way into a column.
struct Object<'b, 'c> {
    place: Place<'b, 'c>,
    object: Map<String, Value>,
    key: String,
}

impl SerializeMap for Object<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        let Value::String(key) = serde_json::to_value(key).map_err(Error::custom)? else {
            return Err(Error::custom("the key of an object is text"));
        };
        self.key = key;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let value = serde_json::to_value(value).map_err(Error::custom)?;
        self.object.insert(std::mem::take(&mut self.key), value);
        Ok(())
    }

    fn end(self) -> Result<(), Error> {
        self.place.bind(Value::Object(self.object).to_string())
    }
}

/// The forms that neither a row nor a value has.
macro_rules! refuse {
    ($($method:ident($($argument:ty),*) -> $result:ty;)*) => {
        $(fn $method(self, $(_: $argument),*) -> Result<$result, Error> {
            Err(Error::custom("a row is a struct of numbers, texts, ids, booleans and JSON objects"))
        })*
    };
}

type No = Impossible<(), Error>;

impl<'b, 'c> Serializer for Fields<'b, 'c> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = No;
    type SerializeTuple = No;
    type SerializeTupleStruct = No;
    type SerializeTupleVariant = No;
    type SerializeMap = No;
    type SerializeStruct = OneByOne<'b, 'c>;
    type SerializeStructVariant = No;

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<OneByOne<'b, 'c>, Error> {
        Ok(OneByOne { fields: self, next: 0 })
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        Err(Error::custom("a row is a struct"))
    }

    refuse! {
        serialize_bool(bool) -> (); serialize_i8(i8) -> (); serialize_i16(i16) -> (); serialize_i32(i32) -> ();
        serialize_i64(i64) -> (); serialize_u8(u8) -> (); serialize_u16(u16) -> (); serialize_u32(u32) -> ();
        serialize_u64(u64) -> (); serialize_f32(f32) -> (); serialize_f64(f64) -> (); serialize_char(char) -> ();
        serialize_str(&str) -> (); serialize_bytes(&[u8]) -> (); serialize_none() -> (); serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> (); serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_seq(Option<usize>) -> No; serialize_tuple(usize) -> No;
        serialize_tuple_struct(&'static str, usize) -> No;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> No;
        serialize_map(Option<usize>) -> No;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> No;
    }
}

impl<'b, 'c> Serializer for Place<'b, 'c> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = No;
    type SerializeTuple = No;
    type SerializeTupleStruct = No;
    type SerializeTupleVariant = No;
    type SerializeMap = Object<'b, 'c>;
    type SerializeStruct = No;
    type SerializeStructVariant = No;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.bind(value)
    }

    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        self.bind(value)
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.bind(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.bind(value)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.bind(Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Object<'b, 'c>, Error> {
        Ok(Object { place: self, object: Map::new(), key: String::new() })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        Err(Error::custom("a value is a number, a text, an id, a boolean or a JSON object"))
    }

    refuse! {
        serialize_i8(i8) -> (); serialize_i16(i16) -> (); serialize_i32(i32) -> (); serialize_u8(u8) -> ();
        serialize_u16(u16) -> (); serialize_u32(u32) -> (); serialize_u64(u64) -> (); serialize_f32(f32) -> ();
        serialize_f64(f64) -> (); serialize_char(char) -> (); serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> (); serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_seq(Option<usize>) -> No; serialize_tuple(usize) -> No;
        serialize_tuple_struct(&'static str, usize) -> No;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> No;
        serialize_struct(&'static str, usize) -> No;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> No;
    }
}
