//! What a program asks of a person, by way of the person's browser (RFC 6749, section 4.1; RFC 7636; RFC 9207).

use directpay_domain::api_key::Scopes;
use directpay_domain::id::AuthorizationId;
use directpay_domain::oauth::{Grant, OAuthSecret, RedirectUri, is_challenge};
use directpay_domain::trail::Action;
use directpay_store::browser_sessions::BrowserSession;
use directpay_store::oauth::authorizations::{self, NewCode};
use directpay_store::oauth::clients::{self, Client};
use directpay_store::{StoreError, Tx, users};
use serde_json::json;

use super::{CODE_US, hash};
use crate::app::App;
use crate::clock;
use crate::trail;

/// The longest request. A redirect URI has 1024 characters at most, and so has a state, each of which may take three.
const QUERY_MAX: usize = 8192;
/// The longest state.
const STATE_MAX: usize = 1024;
/// What may stand once and means something.
const PARAMETERS: [&str; 8] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
];

/// A request that a person can agree to.
#[derive(Debug)]
pub struct Asked {
    /// Which program.
    pub client: Client,
    /// What its owner is called.
    pub owner_name: String,
    /// What it wants to do.
    pub scopes: Scopes,
    /// Where the answer goes.
    pub back: Back,
    challenge: String,
}

/// Where an answer goes, and what it brings back unchanged.
#[derive(Debug)]
pub struct Back {
    /// To which address.
    pub redirect_uri: RedirectUri,
    state: Option<String>,
}

impl Back {
    /// The address with an answer in its query, and with who gives it.
    fn with(&self, app: &App, answer: &[(&str, &str)]) -> String {
        let state = self.state.as_deref().map(|state| ("state", state));
        let pairs: Vec<_> = answer.iter().copied().chain(state).chain([("iss", app.mail.public_url())]).collect();
        // Pairs of texts can always be written.
        let query = serde_urlencoded::to_string(pairs).unwrap_or_default();
        let uri = self.redirect_uri.as_str();
        let joint = match uri.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some(_) => "&",
        };
        format!("{uri}{joint}{query}")
    }

    /// The address that tells the program that the person refused.
    pub fn refused(&self, app: &App) -> String {
        self.with(app, &[("error", "access_denied"), ("error_description", "the person refused")])
    }
}

/// A request that nobody can agree to.
#[derive(Debug)]
pub enum Wrong {
    /// It is not certain who asks, or where the answer would go: the person is told, and nobody else.
    Untold(&'static str),
    /// The program is told, at this address.
    Told {
        /// What is wrong, for people.
        detail: &'static str,
        /// With the answer in its query.
        address: String,
    },
}

/// Reads a request out of the query of an address.
pub async fn read(app: &App, tx: &mut Tx, query: &str) -> Result<Result<Asked, Wrong>, StoreError> {
    if QUERY_MAX < query.len() {
        return Ok(Err(Wrong::Untold("The request is too long.")));
    }
    let Ok(pairs) = serde_urlencoded::from_str::<Vec<(String, String)>>(query) else {
        return Ok(Err(Wrong::Untold("The request cannot be read.")));
    };
    let Some(client_id) = only(&pairs, "client_id").and_then(|id| id.parse().ok()) else {
        return Ok(Err(Wrong::Untold("The request does not say which program asks.")));
    };
    let Some(client) = clients::find(tx, client_id).await? else {
        return Ok(Err(Wrong::Untold("The program that asks is not registered here.")));
    };
    let redirect_uri = only(&pairs, "redirect_uri").and_then(|uri| RedirectUri::parse(uri).ok());
    let Some(redirect_uri) = redirect_uri.filter(|uri| client.redirect_uris.admit(uri)) else {
        return Ok(Err(Wrong::Untold("The answer would go to an address that is not the program's.")));
    };
    let state = only(&pairs, "state").filter(|state| state.len() <= STATE_MAX).map(str::to_owned);
    let back = Back { redirect_uri, state };
    let owner = users::find(tx, client.user_id).await?;
    let owner_name = owner.map(|owner| owner.full_name).unwrap_or_default();
    match judge(&client, &pairs) {
        Ok((scopes, challenge)) => Ok(Ok(Asked { client, owner_name, scopes, back, challenge })),
        Err((error, detail)) => {
            let address = back.with(app, &[("error", error), ("error_description", detail)]);
            Ok(Err(Wrong::Told { detail, address }))
        }
    }
}

/// The value of a parameter that stands there once.
fn only<'p>(pairs: &'p [(String, String)], name: &str) -> Option<&'p str> {
    let mut values = pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
    values.next().filter(|_| values.next().is_none())
}

/// What a known program asks for, and the challenge to its verifier; or what is wrong, for the program and for people.
fn judge(client: &Client, pairs: &[(String, String)]) -> Result<(Scopes, String), (&'static str, &'static str)> {
    let invalid = |detail| ("invalid_request", detail);
    let counts = |name: &&str| 1 < pairs.iter().filter(|(key, _)| key == *name).count();
    if PARAMETERS.iter().any(counts) {
        return Err(invalid("a parameter stands twice"));
    }
    if only(pairs, "state").is_some_and(|state| STATE_MAX < state.len()) {
        return Err(invalid("state has more than 1024 bytes"));
    }
    match only(pairs, "response_type") {
        Some("code") => {}
        Some(_) => return Err(("unsupported_response_type", "response_type must be code")),
        None => return Err(invalid("response_type is missing")),
    }
    if only(pairs, "response_mode").is_some_and(|mode| mode != "query") {
        return Err(invalid("response_mode must be query"));
    }
    if !client.grants.contains(Grant::AuthorizationCode) {
        return Err(("unauthorized_client", "this program is not registered for authorization codes"));
    }
    let challenge = only(pairs, "code_challenge").ok_or(invalid("code_challenge is missing"))?;
    if only(pairs, "code_challenge_method") != Some("S256") {
        return Err(invalid("code_challenge_method must be S256"));
    }
    if !is_challenge(challenge) {
        return Err(invalid("code_challenge is no SHA-256"));
    }
    let names: Vec<_> = only(pairs, "scope").unwrap_or_default().split_ascii_whitespace().collect();
    let scopes = Scopes::parse(&names).map_err(|_| ("invalid_scope", "scope must name scopes, each once"))?;
    let scopes = scopes.for_programs().map_err(|_| ("invalid_scope", "one of these scopes is for API keys only"))?;
    if !scopes.are_within(&client.scopes) {
        return Err(("invalid_scope", "this program is not registered for all of these scopes"));
    }
    Ok((scopes, challenge.to_owned()))
}

/// The person agrees: the address that brings the program its code, which was drawn for this.
pub async fn agree(
    app: &App,
    tx: &mut Tx,
    asked: &Asked,
    session: &BrowserSession,
    code: &OAuthSecret,
) -> Result<String, StoreError> {
    let new = NewCode {
        code_hash: &hash(&app.vault, code),
        authorization_id: AuthorizationId(clock::new_id()),
        client_id: asked.client.id,
        user_id: session.user_id,
        session_id: session.family,
        redirect_uri: asked.back.redirect_uri.as_str(),
        challenge: &asked.challenge,
        scopes: &asked.scopes,
        expires_us: app.clock.process_us() + CODE_US,
    };
    let id = new.authorization_id;
    authorizations::insert_code(tx, new).await?;
    let granted = json!({"oauth_client_id": asked.client.id, "scopes": asked.scopes.to_text()});
    trail::done(Action::AuthorizationGranted).to(id).with(granted).record(tx).await?;
    Ok(asked.back.with(app, &[("code", code.expose())]))
}
