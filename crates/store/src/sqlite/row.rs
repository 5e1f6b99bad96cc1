//! Reading rows: a row type names its columns once, by `Deserialize`, and they are found by name once for each statement.

use rusqlite::types::ValueRef;
use rusqlite::{Row, Statement};
use serde::de::value::Error;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::error::failure;

/// Runs a statement with what is bound to it and adds at most `limit` rows to `found`.
pub(super) fn read<R: DeserializeOwned>(
    statement: &mut Statement<'_>,
    columns: &mut Columns,
    limit: usize,
    found: &mut Vec<R>,
) -> sqlx::Result<()> {
    let mut rows = statement.raw_query();
    for _ in 0..limit {
        let Some(row) = rows.next().map_err(failure)? else { break };
        let value = R::deserialize(RowReader { row, columns });
        found.push(value.map_err(|error| sqlx::Error::Decode(error.into()))?);
    }
    Ok(())
}

/// Where the fields of a row type stand among the columns of a statement.
#[derive(Default)]
pub(super) struct Columns(Vec<usize>);

struct RowReader<'r, 's> {
    row: &'r Row<'s>,
    columns: &'r mut Columns,
}

impl<'de> Deserializer<'de> for RowReader<'_, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("a row is read as a struct or as a tuple"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.columns.0.is_empty() {
            let place = |field: &&str| self.row.as_ref().column_index(field).map_err(Error::custom);
            self.columns.0 = fields.iter().map(place).collect::<Result<_, _>>()?;
        }
        visitor.visit_seq(Values { row: self.row, places: self.columns.0.iter() })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        if self.columns.0.is_empty() {
            self.columns.0 = (0..length).collect();
        }
        visitor.visit_seq(Values { row: self.row, places: self.columns.0.iter() })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple_struct map enum identifier ignored_any
    }
}

struct Values<'r, 's> {
    row: &'r Row<'s>,
    places: std::slice::Iter<'r, usize>,
}

impl<'de> SeqAccess<'de> for Values<'_, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(place) = self.places.next() else { return Ok(None) };
        let value = self.row.get_ref(*place).map_err(Error::custom)?;
        seed.deserialize(ValueReader(value)).map(Some)
    }
}

/// One value. It is not for people to read: a UUID is its sixteen bytes.
struct ValueReader<'v>(ValueRef<'v>);

impl ValueReader<'_> {
    fn text(&self) -> Result<&str, Error> {
        self.0.as_str().map_err(Error::custom)
    }
}

impl<'de> Deserializer<'de> for ValueReader<'_> {
    type Error = Error;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            ValueRef::Null => visitor.visit_unit(),
            ValueRef::Integer(number) => visitor.visit_i64(number),
            ValueRef::Real(_) => Err(Error::custom("a floating-point number, of which we store none")),
            ValueRef::Text(_) => visitor.visit_str(self.text()?),
            ValueRef::Blob(bytes) => visitor.visit_bytes(bytes),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0 == ValueRef::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.0.as_i64().map_err(Error::custom)? != 0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    /// A JSON object.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut json = serde_json::Deserializer::from_reader(self.text()?.as_bytes());
        json.deserialize_map(visitor).map_err(Error::custom)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct struct enum identifier ignored_any
    }
}
