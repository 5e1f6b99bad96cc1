//! Tokens: issued, exchanged, looked at and ended.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use directpay_domain::api_key::Scopes;
use directpay_domain::id::{AuthorizationId, OAuthClientId, UserId};
use directpay_domain::oauth::{ClientKind, Grant, RedirectUri, SecretKind, is_verifier};
use directpay_domain::time::SECOND_US;
use directpay_domain::trail::Action;
use directpay_domain::user::Role;
use directpay_store::oauth::authorizations::{self, Code, NewAuthorization};
use directpay_store::oauth::clients::Client;
use directpay_store::oauth::tokens::{self, AccessToken, NewAccessToken};
use directpay_store::{StoreError, Tx, access, users};
use sha2::{Digest, Sha256};

use super::{ACCESS_SECONDS, OAuthError, REFRESH_US, draw, end, hash, hash_of};
use crate::app::App;
use crate::mail::{self, letters};

/// What a program gets.
pub struct Issued {
    /// For each request.
    pub access_token: String,
    /// For the next access token; good once.
    pub refresh_token: Option<String>,
    /// What it may do.
    pub scopes: Scopes,
}

/// Whose access token `text` is and what it may do, as the database has it now; none if it is worthless.
pub async fn present(app: &App, text: &str) -> Result<Option<AccessToken>, StoreError> {
    let Some(token_hash) = hash_of(&app.vault, SecretKind::AccessToken, text) else { return Ok(None) };
    let mut tx = app.db.begin_read().await?;
    let found = tokens::find_access(&mut tx, &token_hash, app.clock.process_us()).await?;
    // Who has become an administrator since is one of those for whom no program acts.
    Ok(found.filter(|token| token.role != Role::Admin))
}

/// Exchanges a code. One that comes a second time ends what came of it: one of the two who presented it was a thief.
pub async fn by_code(
    app: &App,
    mut tx: Tx,
    client: &Client,
    code: &str,
    redirect_uri: &str,
    verifier: &str,
) -> Result<Issued, OAuthError> {
    const WORTHLESS: OAuthError = OAuthError::InvalidGrant("the code is not good, or not for this");
    let code_hash = hash_of(&app.vault, SecretKind::Code, code).ok_or(WORTHLESS)?;
    let now_us = app.clock.process_us();
    let code = authorizations::hold_code(&mut tx, &code_hash).await?;
    let code = code.filter(|code| code.client_id == client.id).ok_or(WORTHLESS)?;
    if code.is_used {
        end_for_theft(app, tx, code.authorization_id, code.user_id, now_us).await?;
        tracing::warn!(user_id = %code.user_id, oauth_client_id = %client.id, "a code was used twice; what came of it is revoked");
        return Err(WORTHLESS);
    }
    // Its owner may have taken the grant or the address away since the person agreed.
    if !client.grants.contains(Grant::AuthorizationCode) {
        return Err(OAuthError::UnauthorizedClient("this program is not registered for authorization codes"));
    }
    let is_registered = RedirectUri::parse(redirect_uri).is_ok_and(|uri| client.redirect_uris.admit(&uri));
    let is_sent_there = is_registered && code.redirect_uri == redirect_uri;
    let is_good = now_us < code.expires_us && is_sent_there && answers(verifier, &code.challenge);
    if !is_good || !access::is_live(&mut tx, code.session_id, now_us).await? {
        return Err(WORTHLESS);
    }
    authorizations::use_code(&mut tx, &code_hash, now_us).await?;
    let issued = begin(app, &mut tx, client, &code, now_us).await?;
    tx.commit().await?;
    app.mail.bell.ring();
    tracing::info!(user_id = %code.user_id, oauth_client_id = %client.id, "a program acts for a person from now on");
    Ok(issued)
}

/// Ends an authorization of which somebody else holds a secret, and tells the person.
async fn end_for_theft(
    app: &App,
    mut tx: Tx,
    id: AuthorizationId,
    user_id: UserId,
    now_us: i64,
) -> Result<(), OAuthError> {
    if end(&mut tx, id, user_id, Action::AuthorizationReused, now_us).await? {
        let person = users::find(&mut tx, user_id).await?;
        if let Some(person) = person {
            let letter = letters::program_stopped(app.mail.public_url(), &person.email);
            mail::queue(app, &mut tx, &letter, mail::NOTICE_US).await?;
        }
    }
    tx.commit().await?;
    app.mail.bell.ring();
    Ok(())
}

/// Whether `verifier` is what the challenge was made from (RFC 7636, section 4.6).
fn answers(verifier: &str, challenge: &str) -> bool {
    is_verifier(verifier) && BASE64URL.encode(Sha256::digest(verifier)) == challenge
}

/// The first tokens of an authorization; the person is told that there is one.
async fn begin(app: &App, tx: &mut Tx, client: &Client, code: &Code, now_us: i64) -> Result<Issued, OAuthError> {
    const NOBODY: OAuthError = OAuthError::InvalidGrant("for this person no program acts");
    let person = users::find(tx, code.user_id).await?.filter(|person| person.role != Role::Admin).ok_or(NOBODY)?;
    // Its owner may have taken scopes away meanwhile.
    let scopes = code.scopes.common(&client.scopes).ok_or(NOBODY)?;
    let new = NewAuthorization {
        id: code.authorization_id,
        client_id: client.id,
        user_id: code.user_id,
        scopes: &scopes,
        now_us,
        expires_us: now_us + ACCESS_SECONDS * SECOND_US,
    };
    authorizations::insert(tx, new).await?;
    let letter = letters::program_authorized(app.mail.public_url(), &person.email, &scopes.to_text());
    mail::queue(app, tx, &letter, mail::NOTICE_US).await?;
    let refresh_token = match client.grants.contains(Grant::RefreshToken) {
        true => Some(issue_refresh(app, tx, code.authorization_id, now_us).await?),
        false => None,
    };
    let of = Some(code.authorization_id);
    let access_token = issue_access(app, tx, client.id, code.user_id, of, &scopes, now_us).await?;
    Ok(Issued { access_token, refresh_token, scopes })
}

/// Exchanges a refresh token for a new one and an access token, which may do less if `asked` says so. A token that comes a second time
/// ends its authorization, with all its tokens.
pub async fn by_refresh_token(
    app: &App,
    mut tx: Tx,
    client: &Client,
    token: &str,
    asked: Option<&str>,
) -> Result<Issued, OAuthError> {
    const WORTHLESS: OAuthError = OAuthError::InvalidGrant("the refresh token is not good");
    let token_hash = hash_of(&app.vault, SecretKind::RefreshToken, token).ok_or(WORTHLESS)?;
    let now_us = app.clock.process_us();
    let found = tokens::hold_refresh(&mut tx, &token_hash).await?;
    let found = found.filter(|found| found.client_id == client.id).ok_or(WORTHLESS)?;
    if found.is_used && !found.is_revoked {
        end_for_theft(app, tx, found.authorization_id, found.user_id, now_us).await?;
        tracing::warn!(
            user_id = %found.user_id, oauth_client_id = %client.id,
            "a program's refresh token was used twice; its authorization is revoked"
        );
        return Err(WORTHLESS);
    }
    if !client.grants.contains(Grant::RefreshToken) {
        return Err(OAuthError::UnauthorizedClient("this program is not registered for refresh tokens"));
    }
    let person = users::find(&mut tx, found.user_id).await?;
    let may_be_acted_for = person.is_some_and(|person| person.role != Role::Admin);
    if !found.is_good(now_us) || !may_be_acted_for {
        return Err(WORTHLESS);
    }
    let agreed = found.scopes.common(&client.scopes).ok_or(WORTHLESS)?;
    let scopes = narrowed(agreed, asked)?;
    tokens::use_refresh(&mut tx, &token_hash, now_us).await?;
    let refresh_token = Some(issue_refresh(app, &mut tx, found.authorization_id, now_us).await?);
    let of = Some(found.authorization_id);
    let access_token = issue_access(app, &mut tx, client.id, found.user_id, of, &scopes, now_us).await?;
    tx.commit().await?;
    Ok(Issued { access_token, refresh_token, scopes })
}

/// An access token by which a program acts for its own owner.
pub async fn by_credentials(app: &App, mut tx: Tx, client: &Client, asked: Option<&str>) -> Result<Issued, OAuthError> {
    if client.kind != ClientKind::Confidential || !client.grants.contains(Grant::ClientCredentials) {
        return Err(OAuthError::UnauthorizedClient("this program is not registered for client credentials"));
    }
    let owner = users::find(&mut tx, client.user_id).await?;
    if owner.is_none_or(|owner| owner.role == Role::Admin) {
        return Err(OAuthError::UnauthorizedClient("no program acts for administrators"));
    }
    let scopes = narrowed(client.scopes.clone(), asked)?;
    let now_us = app.clock.process_us();
    let access_token = issue_access(app, &mut tx, client.id, client.user_id, None, &scopes, now_us).await?;
    tx.commit().await?;
    Ok(Issued { access_token, refresh_token: None, scopes })
}

/// What is asked for of what may be had; all of it if nothing is said.
fn narrowed(agreed: Scopes, asked: Option<&str>) -> Result<Scopes, OAuthError> {
    let Some(asked) = asked else { return Ok(agreed) };
    let names: Vec<_> = asked.split_ascii_whitespace().collect();
    let scopes = Scopes::parse(&names).map_err(|_| OAuthError::InvalidScope("scope must name scopes, each once"))?;
    if !scopes.are_within(&agreed) {
        return Err(OAuthError::InvalidScope("this is more than may be had"));
    }
    Ok(scopes)
}

async fn issue_access(
    app: &App,
    tx: &mut Tx,
    client_id: OAuthClientId,
    user_id: UserId,
    authorization_id: Option<AuthorizationId>,
    scopes: &Scopes,
    now_us: i64,
) -> Result<String, OAuthError> {
    let token = draw(SecretKind::AccessToken)?;
    let token_hash = hash(&app.vault, &token);
    let expires_us = now_us + ACCESS_SECONDS * SECOND_US;
    let new =
        NewAccessToken { token_hash: &token_hash, client_id, user_id, authorization_id, scopes, now_us, expires_us };
    tokens::insert_access(tx, new).await?;
    Ok(token.expose().to_owned())
}

async fn issue_refresh(app: &App, tx: &mut Tx, of: AuthorizationId, now_us: i64) -> Result<String, OAuthError> {
    let token = draw(SecretKind::RefreshToken)?;
    tokens::insert_refresh(tx, &hash(&app.vault, &token), of, now_us, now_us + REFRESH_US).await?;
    Ok(token.expose().to_owned())
}

/// Ends a token of a program (RFC 7009): an access token alone, a refresh token with all that it belongs to. What is worthless
/// already, or another's, is no error, and stays as it is.
pub async fn revoke(app: &App, mut tx: Tx, client: &Client, token: &str) -> Result<(), OAuthError> {
    if let Some(token_hash) = hash_of(&app.vault, SecretKind::AccessToken, token) {
        tokens::remove_access(&mut tx, &token_hash, client.id).await?;
    } else if let Some(token_hash) = hash_of(&app.vault, SecretKind::RefreshToken, token) {
        let found = tokens::hold_refresh(&mut tx, &token_hash).await?.filter(|found| found.client_id == client.id);
        if let Some(found) = found {
            let now_us = app.clock.process_us();
            end(&mut tx, found.authorization_id, found.user_id, Action::AuthorizationEnded, now_us).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

/// What there is to say of a token that is good.
pub struct Known {
    /// Whose.
    pub client_id: OAuthClientId,
    /// For whom the program acts by it.
    pub user_id: UserId,
    /// What it may do.
    pub scopes: Scopes,
    /// What it is: an access token is a bearer token, a refresh token has no type.
    pub is_access: bool,
    /// When it was issued.
    pub issued_us: i64,
    /// When it is over.
    pub expires_us: i64,
}

/// Looks at a token for a program of the same owner (RFC 7662); to others, and if it is worthless, there is nothing to say.
pub async fn introspect(app: &App, tx: &mut Tx, client: &Client, token: &str) -> Result<Option<Known>, OAuthError> {
    if client.kind != ClientKind::Confidential {
        return Err(OAuthError::InvalidClient);
    }
    let now_us = app.clock.process_us();
    let known = if let Some(token_hash) = hash_of(&app.vault, SecretKind::AccessToken, token) {
        let found = tokens::find_access(tx, &token_hash, now_us).await?.filter(|found| found.role != Role::Admin);
        found.map(|found| {
            let AccessToken { client_id, owner_id, user_id, scopes, issued_us, expires_us, .. } = found;
            (owner_id, Known { client_id, user_id, scopes, is_access: true, issued_us, expires_us })
        })
    } else if let Some(token_hash) = hash_of(&app.vault, SecretKind::RefreshToken, token) {
        let found = tokens::find_refresh(tx, &token_hash).await?.filter(|found| found.is_good(now_us));
        found.map(|found| {
            let known = Known {
                client_id: found.client_id,
                user_id: found.user_id,
                scopes: found.scopes,
                is_access: false,
                issued_us: found.issued_us,
                expires_us: found.expires_us,
            };
            (found.owner_id, known)
        })
    } else {
        None
    };
    Ok(known.filter(|(owner_id, _)| *owner_id == client.user_id).map(|(_, known)| known))
}
