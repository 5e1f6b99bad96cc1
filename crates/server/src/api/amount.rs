//! Amounts as callers write them.

use std::borrow::Cow;

use directpay_domain::invalid::Invalid;
use directpay_domain::money::{Amount, Currency};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A decimal string or a JSON number, kept as the caller wrote it until its currency is known.
///
/// A number is read by its text and never as a float, so that it is exact or refused.
#[derive(Debug)]
pub struct AmountInput(Box<RawValue>);

impl<'de> Deserialize<'de> for AmountInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AmountInput, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        match raw.get().as_bytes().first() {
            Some(b'"' | b'-' | b'0'..=b'9') => Ok(AmountInput(raw)),
            Some(_) | None => Err(D::Error::custom("neither a string nor a number")),
        }
    }
}

impl AmountInput {
    /// The sum in `currency`. The same rules hold for a string and for the text of a number.
    pub fn parse(&self, currency: Currency) -> Result<Amount, Invalid> {
        let raw = self.0.get();
        if !raw.starts_with('"') {
            return Amount::parse(raw, currency);
        }
        let text: Cow<'_, str> = serde_json::from_str(raw)
            .map_err(|_| Invalid::new("malformed", "must be a decimal string such as 1500.00"))?;
        Amount::parse(&text, currency)
    }
}

impl PartialSchema for AmountInput {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r"^[0-9]+(\.[0-9]+)?$"))
            .description(Some("Preferred: never passes through a float on its way"))
            .examples(["1500.00"]);
        let number = ObjectBuilder::new()
            .schema_type(Type::Number)
            .description(Some("Only if it is exact: no exponent, no more decimals than the currency has"))
            .examples([serde_json::json!(1500)]);
        OneOfBuilder::new()
            .item(text)
            .item(number)
            .description(Some("More than zero, with at most the decimals of its currency"))
            .examples(["1500.00"])
            .into()
    }
}

impl ToSchema for AmountInput {}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(r#""1500.00""#, "1500.00")]
    #[case(r#""1500.5""#, "1500.50")]
    #[case(r#""\u0031""#, "1.00")]
    #[case("1500", "1500.00")]
    #[case("1500.5", "1500.50")]
    #[case("90071992547409.93", "90071992547409.93")]
    fn an_amount_is_read_exactly(#[case] json: &str, #[case] expected: &str) {
        let input: AmountInput = serde_json::from_str(json).unwrap();

        assert_eq!(input.parse(Currency::USD).unwrap().to_string(), expected);
    }

    #[rstest]
    #[case("1e3", "malformed")]
    #[case("1500.001", "too_precise")]
    #[case("-5", "not_positive")]
    #[case("0", "not_positive")]
    #[case(r#""""#, "malformed")]
    #[case(r#"" 5""#, "malformed")]
    #[case(r#""NaN""#, "malformed")]
    fn what_is_no_amount_is_refused(#[case] json: &str, #[case] code: &str) {
        let input: AmountInput = serde_json::from_str(json).unwrap();

        assert_eq!(input.parse(Currency::USD).unwrap_err().code, code);
    }

    #[rstest]
    #[case("true")]
    #[case("[1]")]
    #[case("{}")]
    #[case("null")]
    fn other_kinds_of_values_are_not_read(#[case] json: &str) {
        assert!(serde_json::from_str::<AmountInput>(json).is_err());
    }
}
