//! The caller's own notes on a payment.

use serde_json::{Map, Value};

use crate::invalid::Invalid;

/// A JSON object of at most 50 keys and 4 KiB, kept and given back as it came.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Metadata(Map<String, Value>);

impl Metadata {
    /// The most keys of the object itself.
    pub const KEYS_MAX: usize = 50;
    /// The deepest nesting, the object itself being the first level. A stored event holds it some levels deeper, and whoever
    /// reads that must not meet a reader's own limit.
    pub const DEPTH_MAX: usize = 32;
    /// The most bytes of its compact JSON text.
    pub const BYTES_MAX: usize = 4096;

    /// Accepts an object within the limits; a NUL character, which PostgreSQL cannot store, is refused.
    pub fn parse(object: Map<String, Value>) -> Result<Metadata, Invalid> {
        if Metadata::KEYS_MAX < object.len() {
            return Err(Invalid::new("too_many_keys", "may have at most 50 keys"));
        }
        let value = Value::Object(object);
        if Metadata::DEPTH_MAX < depth(&value) {
            return Err(Invalid::new("too_deep", "may be nested 32 levels deep at most"));
        }
        if has_nul(&value) {
            return Err(Invalid::new("malformed", "may not contain a NUL character"));
        }
        if Metadata::BYTES_MAX < value.to_string().len() {
            return Err(Invalid::new("too_long", "may have at most 4096 bytes as JSON"));
        }
        match value {
            Value::Object(object) => Ok(Metadata(object)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(Invalid::new("wrong_type", "must be an object"))
            }
        }
    }

    /// The object.
    pub fn as_object(&self) -> &Map<String, Value> {
        &self.0
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(object) => object.iter().any(|(key, item)| key.contains('\0') || has_nul(item)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn the_limits_are_50_keys_and_4_kib() {
        let keys = |n: usize| (0..n).map(|i| (i.to_string(), Value::Null)).collect::<Map<_, _>>();
        assert!(Metadata::parse(keys(50)).is_ok());
        assert_eq!(Metadata::parse(keys(51)).unwrap_err().code, "too_many_keys");
        assert!(Metadata::parse(object(serde_json::json!({"n": "x".repeat(4088)}))).is_ok());
        assert_eq!(Metadata::parse(object(serde_json::json!({"n": "x".repeat(4089)}))).unwrap_err().code, "too_long");
    }

    #[test]
    fn nesting_is_limited() {
        let nested = |depth: usize| {
            let inner = (1..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
            object(serde_json::json!({ "a": inner }))
        };
        assert!(Metadata::parse(nested(32)).is_ok());
        assert_eq!(Metadata::parse(nested(33)).unwrap_err().code, "too_deep");
    }

    #[test]
    fn a_nul_character_is_refused_at_any_depth() {
        for bad in [serde_json::json!({"a": [{"b": "\0"}]}), serde_json::json!({"\0": 1})] {
            assert_eq!(Metadata::parse(object(bad)).unwrap_err().code, "malformed");
        }
    }
}
