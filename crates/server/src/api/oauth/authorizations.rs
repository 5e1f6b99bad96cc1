//! The programs that a person lets act.

use axum::extract::State;
use axum::http::StatusCode;
use directpay_domain::id::AuthorizationId;
use directpay_domain::time::Instant;
use directpay_domain::trail::Action;
use directpay_store::oauth::authorizations::{self, Authorization};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::auth::Caller;
use crate::api::error::ApiError;
use crate::api::extract::{Id, Json, List, ListQuery, Query};
use crate::api::problem::{Always, OfList, OfOne, SignedIn};
use crate::app::App;
use crate::oauth::end;

/// A program that acts for a person. All times are real ones, also in a sandbox.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuthorizationView {
    /// Which authorization: a program has several where it was let in several times.
    id: Uuid,
    /// Which program; histories name it so.
    client_id: Uuid,
    /// What its owner calls it.
    #[schema(example = "Rent Ledger")]
    client_name: String,
    /// What its owner is called.
    #[schema(example = "Larry Ledger")]
    owner_name: String,
    /// For whom it acts.
    user_id: Uuid,
    /// What it may do.
    #[schema(example = json!(["leases:read", "payments:read"]))]
    scopes: Vec<&'static str>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    created_at: Instant,
    /// Until when, unless the program renews it before.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Instant,
}

impl From<Authorization> for AuthorizationView {
    fn from(authorization: Authorization) -> AuthorizationView {
        AuthorizationView {
            id: authorization.id.0,
            client_id: authorization.client_id.0,
            scopes: authorization.scopes.names(),
            client_name: authorization.client_name,
            owner_name: authorization.owner_name,
            user_id: authorization.user_id.0,
            created_at: authorization.created_at,
            expires_at: authorization.expires_at,
        }
    }
}

/// List the programs that act for the caller.
///
/// Those that the caller let in, newest first, without those that were revoked or have run out.
#[utoipa::path(
    get,
    path = "/me/authorizations/",
    tag = "OAuth",
    params(ListQuery),
    responses((status = 200, body = List<AuthorizationView>, description = "A page of the list"), OfList, SignedIn, Always),
)]
pub async fn list_authorizations(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<AuthorizationView>>, ApiError> {
    let wanted = query.parse()?;
    let mut tx = app.db.begin_read().await?;
    let found = authorizations::list(&mut tx, caller.user_id, app.clock.process_us(), wanted.page()).await?;
    Ok(Json(wanted.list(found, |authorization| authorization.id.0, AuthorizationView::from)))
}

/// Revoke what a program may do for the caller.
///
/// From the answer on every process refuses its tokens. For the person itself and administrators.
#[utoipa::path(
    delete,
    path = "/me/authorizations/{id}",
    tag = "OAuth",
    params(("id" = Uuid, Path)),
    responses((status = 204, description = "Revoked"), OfOne, SignedIn, Always),
)]
pub async fn revoke_authorization(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AuthorizationId>,
) -> Result<StatusCode, ApiError> {
    let now_us = app.clock.process_us();
    let mut tx = app.db.begin().await?;
    let found = authorizations::find(&mut tx, id, now_us).await?.ok_or_else(ApiError::not_found)?;
    caller.must_be(found.user_id)?;
    end(&mut tx, id, found.user_id, Action::AuthorizationEnded, now_us).await?;
    tx.commit().await?;
    tracing::info!(
        user_id = %found.user_id, oauth_client_id = %found.client_id, by = %caller.user_id, "an authorization was revoked"
    );
    Ok(StatusCode::NO_CONTENT)
}
