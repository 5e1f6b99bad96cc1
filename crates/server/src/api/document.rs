//! The API document as programs like it: each schema has one place and one name.

use utoipa::openapi::schema::{AdditionalProperties, ArrayItems, Object, Schema};
use utoipa::openapi::{OpenApi, Ref, RefOr};

/// Puts the name of a component wherever the component itself stands inside another: generic types copy their parameters, and a
/// client made of the document would get two types for one thing.
pub fn refer_to_components(document: &mut OpenApi) {
    let Some(components) = &mut document.components else { return };
    let known: Vec<(String, Schema)> = components
        .schemas
        .iter()
        .filter_map(|(name, schema)| match schema {
            RefOr::T(schema) => Some((name.clone(), schema.clone())),
            RefOr::Ref(_) => None,
        })
        .collect();
    for schema in components.schemas.values_mut() {
        if let RefOr::T(schema) = schema {
            parts(schema).into_iter().for_each(|part| refer(part, &known));
        }
    }
}

fn refer(schema: &mut RefOr<Schema>, known: &[(String, Schema)]) {
    let RefOr::T(own) = schema else { return };
    match known.iter().find(|(_, component)| component == own) {
        Some((name, _)) => *schema = RefOr::Ref(Ref::from_schema_name(name)),
        None => parts(own).into_iter().for_each(|part| refer(part, known)),
    }
}

/// The schemas that one is made of.
fn parts(schema: &mut Schema) -> Vec<&mut RefOr<Schema>> {
    match schema {
        Schema::Array(array) => match &mut array.items {
            ArrayItems::RefOrSchema(items) => vec![items],
            ArrayItems::False => Vec::new(),
        },
        Schema::Object(Object { properties, additional_properties, .. }) => {
            let mut parts: Vec<_> = properties.values_mut().collect();
            if let Some(AdditionalProperties::RefOr(values)) = additional_properties.as_deref_mut() {
                parts.push(values);
            }
            parts
        }
        Schema::OneOf(one_of) => one_of.items.iter_mut().collect(),
        Schema::AllOf(all_of) => all_of.items.iter_mut().collect(),
        Schema::AnyOf(any_of) => any_of.items.iter_mut().collect(),
        // The library may learn other kinds.
        _ => Vec::new(),
    }
}
