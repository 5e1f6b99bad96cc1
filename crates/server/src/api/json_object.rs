//! A JSON object in which no key stands twice, at any depth.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// An object out of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonObject(pub Map<String, Value>);

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<JsonObject, D::Error> {
        match Unique::deserialize(deserializer)?.0 {
            Value::Object(object) => Ok(JsonObject(object)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(D::Error::custom("invalid type: an object is wanted"))
            }
        }
    }
}

struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unique, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Unique)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    /// Written out, without an exponent: PostgreSQL gives `1e16` back as `10000000000000000`, and a number must stay equal to
    /// itself.
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = value.to_string().parse::<Number>();
        number.map(Value::Number).map_err(|_| E::custom("invalid value: not a number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom("duplicate field in an object"));
            }
            let Unique(value) = entries.next_value()?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_same_with_and_without_an_exponent() {
        let numbers = r#"{"a":[1e16,1E+16,10000000000000000,1.0,0.5,-2.5e3]}"#;
        let read = serde_json::from_str::<JsonObject>(numbers).unwrap();
        let written = r#"{"a":[10000000000000000,10000000000000000,10000000000000000,1,0.5,-2500]}"#;
        assert_eq!(Value::Object(read.0).to_string(), written);
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_at_any_depth() {
        for bad in [r#"{"a":1,"a":1}"#, r#"{"a":[{"b":1,"b":2}]}"#] {
            let error = serde_json::from_str::<JsonObject>(bad).unwrap_err();
            assert!(error.to_string().starts_with("duplicate field"), "{error}");
        }
        let good = r#"{"a":[1,-2,1.5,null,true,"x",{"a":{}}]}"#;
        assert_eq!(Value::Object(serde_json::from_str::<JsonObject>(good).unwrap().0).to_string(), good);
        assert!(serde_json::from_str::<JsonObject>("[]").is_err());
    }
}
