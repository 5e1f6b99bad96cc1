//! The public halves of the keys that sign access tokens (RFC 7517, RFC 8037).

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::Json;
use super::problem::Always;
use crate::app::App;

/// How long others may keep the set. Whoever meets a name that is not in it asks again.
const CACHED: &str = "public, max-age=60";

/// Public keys.
#[derive(Debug, Serialize, ToSchema)]
pub struct JsonWebKeysView {
    /// The one that signs now first. One that will sign later is there before it does, and one that has signed stays until its last token has expired
    keys: Vec<JsonWebKeyView>,
}

/// A public key.
#[derive(Debug, Serialize, ToSchema)]
pub struct JsonWebKeyView {
    /// Always `OKP`
    #[schema(example = "OKP")]
    kty: &'static str,
    /// Always `Ed25519`
    #[schema(example = "Ed25519")]
    crv: &'static str,
    /// Its name, which tokens bear in their header
    #[schema(example = "sig-5f1c09ae")]
    kid: String,
    /// Always `sig`
    #[schema(example = "sig")]
    r#use: &'static str,
    /// Always `EdDSA`
    #[schema(example = "EdDSA")]
    alg: &'static str,
    /// The key, in base64url
    #[schema(example = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")]
    x: String,
}

/// By which keys are access tokens verified?
///
/// A JSON Web Key Set, for services that check tokens by themselves.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "sign-in", responses((status = 200, body = JsonWebKeysView, description = "The public keys"), Always), security(()))]
pub async fn read_json_web_keys(State(app): State<App>) -> Response {
    let keys = app.tokens.public_keys().into_iter().map(|(kid, public)| JsonWebKeyView {
        kty: "OKP",
        crv: "Ed25519",
        kid,
        r#use: "sig",
        alg: "EdDSA",
        x: BASE64URL.encode(public),
    });
    ([(CACHE_CONTROL, CACHED)], Json(JsonWebKeysView { keys: keys.collect() })).into_response()
}
