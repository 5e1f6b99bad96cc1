//! The API document: up to date, and complete enough that a generated client works.

use std::collections::BTreeSet;
use std::path::Path;

use directpay_domain::api_key::Scope;
use directpay_server::api::scopes::{self, Access};
use reqwest::Method;
use serde_json::{Value, json};

/// The document as the server makes it.
pub(crate) fn document() -> Value {
    serde_json::from_str(&directpay_server::api::document_text().unwrap()).unwrap()
}

/// An operation of the document.
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    /// Nobody has to sign in for it.
    pub(crate) is_open: bool,
    pub(crate) body: Value,
}

impl Operation {
    /// The scope by which an API key opens it, if one does.
    pub(crate) fn scope(&self) -> Option<String> {
        let ways = self.body["security"].as_array();
        let is_open_to = |scheme| ways.is_some_and(|ways| ways.iter().any(|way| way[scheme].is_array()));
        let is_open_to_keys = is_open_to("api_key");
        let scope = self.body["x-required-scope"].as_str().map(str::to_owned);
        let is_for_keys_only = scope.as_deref() == Some("webhooks:write");
        assert_eq!(is_open_to("oauth"), is_open_to_keys && !is_for_keys_only, "{}", self.id);
        assert_eq!(is_open_to_keys, scope.is_some(), "{}", self.id);
        scope
    }
}

pub(crate) fn operations(document: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, body) in methods.as_object().unwrap() {
            let security = body.get("security").unwrap_or(&document["security"]);
            found.push(Operation {
                id: body["operationId"].as_str().unwrap_or_default().to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                is_open: security.as_array().unwrap().iter().any(|way| way.as_object().unwrap().is_empty()),
                body: body.clone(),
            });
        }
    }
    assert!(28 <= found.len(), "the document has lost operations");
    found
}

/// The path with something in place of each parameter that is nobody's.
pub(crate) fn without_parameters(path: &str) -> String {
    let part = |part: &str| match part {
        "{role}" => "RENTER".to_owned(),
        part if part.starts_with('{') => "01890000-0000-7000-8000-000000000000".to_owned(),
        part => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[test]
fn the_committed_document_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi.json");
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    let present = directpay_server::api::document_text().unwrap();
    assert!(committed == present, "openapi.json is stale: run `cargo run -- openapi > openapi.json`");
}

#[test]
fn it_is_openapi_3_1_with_three_ways_to_say_who_calls() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!((&schemes["bearer"]["scheme"], &schemes["api_key"]["scheme"]), (&json!("bearer"), &json!("bearer")));
    assert_eq!(schemes["oauth"]["flows"]["authorizationCode"]["tokenUrl"], "/oauth/token");
    assert!(document["info"]["version"].is_string() && document["info"]["description"].is_string());
}

#[test]
fn every_operation_says_what_an_api_key_needs_for_it() {
    for operation in operations(&document()) {
        let id = &operation.id;
        let access = scopes::access(id);
        let access = access.unwrap_or_else(|| panic!("the operation {id} is new: say in api/scopes.rs who may use it"));
        assert_eq!(access == Access::Open, operation.is_open, "{id}");
        let scope = if let Access::Scoped(scope) = access { Some(scope.name()) } else { None };
        assert_eq!(operation.scope().as_deref(), scope, "{id}");
        let reads = operation.method == Method::GET;
        assert!(scope.is_none_or(|scope| scope.ends_with(if reads { ":read" } else { ":write" })), "{id}: {scope:?}");
        assert_eq!(scopes::needed(&operation.method, &operation.path).map(Scope::name), scope, "{id}");
    }
    assert_eq!(scopes::access("something_new"), None);
}

#[test]
fn every_operation_has_a_name_a_summary_security_and_its_refusals() {
    let document = document();
    let mut names = BTreeSet::new();
    for Operation { id, method, path, is_open, body } in operations(&document) {
        assert!(!id.is_empty() && names.insert(id.clone()), "{method} {path} needs a name of its own");
        assert!(body["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{id} has no summary");
        assert_eq!(body["tags"].as_array().map(Vec::len), Some(1), "{id}");
        let responses = body["responses"].as_object().unwrap();
        let documents = |status: &str| responses.contains_key(status);
        assert!(responses.keys().any(|status| status.starts_with('2')), "{id} never succeeds");
        if id != "read_health" {
            assert!(documents("500") && documents("503"), "{id}");
        }
        // A program proves who it is by a secret of its own.
        assert_eq!(!is_open || id.ends_with("_oauth_token"), documents("401"), "{id}");
        assert_eq!(body.get("requestBody").is_some(), documents("413") && documents("415"), "{id}");
        if path.contains('{') {
            assert!(documents("404"), "{id}");
        }
        for (status, response) in responses {
            assert!(response["description"].is_string(), "{id} {status}");
            assert_eq!(must_have_body(&id, status), response.get("content").is_some(), "{id} {status}");
            let is_problem = response["content"].get("application/problem+json").is_some();
            let is_oauth =
                id.ends_with("_token") && (status == "400" || id.ends_with("_oauth_token") && status == "401");
            assert_eq!(is_problem, status.as_str() >= "400" && !is_oauth, "{id} {status}");
        }
        for parameter in body["parameters"].as_array().into_iter().flatten() {
            let is_described = parameter["description"].is_string() || parameter["in"] == "path";
            assert!(is_described && parameter["schema"].is_object(), "{id}: {parameter}");
        }
    }
}

fn must_have_body(id: &str, status: &str) -> bool {
    !matches!((id, status), ("revoke_token" | "revoke_oauth_token", "200") | (_, "204"))
}

#[test]
fn every_schema_and_every_field_says_what_it_is() {
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(schema["description"].is_string(), "{name} has no description");
        for (field, of_field) in schema["properties"].as_object().into_iter().flatten() {
            let refers = of_field.get("$ref").is_some() || of_field.get("oneOf").is_some();
            assert!(refers || of_field["description"].is_string(), "{name}.{field} has no description");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document.pointer(reference).is_some(), "{reference} leads nowhere");
    }
}
