//! Where money comes from and goes to.
//!
//! The full number of an account comes in here and leaves towards the vault only: nothing that holds it can be printed.

use axum::extract::State;
use axum::response::Response;
use directpay_domain::bank_account::{AccountNumber, AccountType, RoutingNumber};
use directpay_domain::id::{BankAccountId, UserId};
use directpay_domain::text::Line;
use directpay_domain::time::Instant;
use directpay_domain::trail::Action;
use directpay_domain::user::Role;
use directpay_store::bank_accounts::{self, BankAccount, NewBankAccount};
use directpay_store::{StoreError, Tx, users};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::Caller;
use super::created;
use super::error::{ApiError, FieldErrors};
use super::extract::{Id, Json, List, ListQuery, Query};
use super::problem::{Always, OfList, OfOne, OfRole, OfState, SignedIn, WithBody};
use crate::app::App;
use crate::clock;
use crate::secrets::{VaultError, hex};
use crate::trail;

/// An account to link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkBankAccount {
    /// The bank's name.
    #[schema(example = "First Bank of Albany", min_length = 1, max_length = 200)]
    bank_name: String,
    /// CHECKING or SAVINGS.
    #[schema(example = "CHECKING")]
    account_type: String,
    /// Nine digits with a valid check digit.
    #[schema(example = "021000021", min_length = 9, max_length = 9)]
    routing_number: String,
    /// 4 to 17 digits. It is kept encrypted and never shown again.
    #[schema(example = "000123456789", min_length = 4, max_length = 17, format = Password, write_only)]
    account_number: String,
    /// In whose name the account is.
    #[schema(example = "Alice Archer", min_length = 1, max_length = 200)]
    account_holder_name: String,
    /// Whether it becomes the default; it does in any case while no default can be used.
    #[schema(example = true)]
    is_primary: Option<bool>,
}

/// An account to link, parsed.
struct Link {
    bank_name: Line,
    account_type: AccountType,
    routing_number: RoutingNumber,
    account_number: AccountNumber,
    account_holder_name: Line,
    wants_primary: bool,
}

impl LinkBankAccount {
    fn parse(self) -> Result<Link, ApiError> {
        let mut errors = FieldErrors::default();
        let bank_name = errors.take("bank_name", Line::parse(&self.bank_name));
        let account_type = errors.take("account_type", AccountType::parse(&self.account_type));
        let routing_number = errors.take("routing_number", RoutingNumber::parse(&self.routing_number));
        let account_number = errors.take("account_number", AccountNumber::parse(&self.account_number));
        let holder = errors.take("account_holder_name", Line::parse(&self.account_holder_name));
        let wants_primary = self.is_primary.unwrap_or(false);
        match (bank_name, account_type, routing_number, account_number, holder) {
            (Some(bank_name), Some(account_type), Some(routing_number), Some(account_number), Some(holder)) => {
                let account_holder_name = holder;
                Ok(Link { bank_name, account_type, routing_number, account_number, account_holder_name, wants_primary })
            }
            _ => Err(errors.into_error()),
        }
    }
}

/// A linked account, without its number.
#[derive(Debug, Serialize, ToSchema)]
pub struct BankAccountView {
    /// Which account.
    id: Uuid,
    /// Whose.
    user_id: Uuid,
    /// Stands for the number.
    #[schema(example = "ba_5f2b8c0d9e4a7163b2c4d8e0")]
    token: String,
    /// The bank's name.
    #[schema(example = "First Bank of Albany")]
    bank_name: String,
    /// CHECKING or SAVINGS.
    #[schema(example = "CHECKING")]
    account_type: &'static str,
    /// Names the bank, not the account.
    #[schema(example = "021000021")]
    routing_number: String,
    /// The last four digits of the number.
    #[schema(example = "6789")]
    last4: String,
    /// In whose name the account is.
    #[schema(example = "Alice Archer")]
    account_holder_name: String,
    /// Whether it is its owner's default.
    is_primary: bool,
    /// Whether it takes part in new payments.
    is_active: bool,
    /// The return code that closed it to new payments until it is linked anew.
    #[schema(example = "R02")]
    closed_by: Option<String>,
    /// When it was linked.
    #[schema(value_type = String, format = DateTime)]
    created_at: Instant,
}

impl From<BankAccount> for BankAccountView {
    fn from(account: BankAccount) -> BankAccountView {
        BankAccountView {
            id: account.id.0,
            user_id: account.user_id.0,
            token: account.token,
            bank_name: account.bank_name,
            account_type: account.account_type.name(),
            routing_number: account.routing_number,
            last4: account.last4,
            account_holder_name: account.account_holder_name,
            is_primary: account.is_primary,
            is_active: account.is_active,
            closed_by: account.closed_by,
            created_at: account.created_at,
        }
    }
}

/// Link a bank account.
///
/// To the caller. The first account is primary; a later one takes that place with `is_primary`, or if a return has closed the
/// primary one. The same account is refused while its first link is active and usable.
#[utoipa::path(
    post,
    path = "/bank-accounts/",
    tag = "bank accounts",
    request_body = LinkBankAccount,
    responses(
        (status = 201, body = BankAccountView, description = "Linked", headers(("Location" = String))),
        WithBody, OfRole, OfState, SignedIn, Always,
    ),
)]
pub async fn create_bank_account(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<LinkBankAccount>,
) -> Result<Response, ApiError> {
    must_pay_or_be_paid(caller)?;
    let account = link(&app, caller.user_id, request.parse()?).await?;
    Ok(created(&format!("/api/v1/bank-accounts/user/{}", account.user_id), BankAccountView::from(account)))
}

fn must_pay_or_be_paid(caller: Caller) -> Result<(), ApiError> {
    match caller.role {
        Role::Landlord | Role::Renter => Ok(()),
        Role::Admin => Err(ApiError::forbidden("only landlords and renters link bank accounts")),
    }
}

/// Stores an account of `owner`'s with its number sealed.
async fn link(app: &App, owner: UserId, link: Link) -> Result<BankAccount, ApiError> {
    let id = BankAccountId(clock::new_id());
    let sealed = app.vault.seal(id, &link.account_number)?;
    let fingerprint = app.vault.fingerprint(&link.routing_number, &link.account_number);
    let token = new_token()?;
    let mut tx = app.db.begin().await?;
    users::lock(&mut tx, owner).await?;
    let is_primary = link.wants_primary || !bank_accounts::has_primary(&mut tx, owner).await?;
    if is_primary {
        bank_accounts::clear_primary(&mut tx, owner).await?;
    }
    let account = BankAccount {
        id,
        user_id: owner,
        token,
        bank_name: link.bank_name.into_string(),
        account_type: link.account_type,
        account_holder_name: link.account_holder_name.into_string(),
        routing_number: link.routing_number.as_str().to_owned(),
        last4: link.account_number.last4().to_owned(),
        is_primary,
        is_active: true,
        closed_by: None,
        created_at: app.clock.business(),
    };
    let new = NewBankAccount { account: &account, sealed: &sealed, fingerprint: &fingerprint };
    bank_accounts::insert(&mut tx, new).await.map_err(already_linked)?;
    trail::done(Action::BankAccountLinked).to(id).record(&mut tx).await?;
    tx.commit().await?;
    Ok(account)
}

/// What stands for an account's number outside: random, so that it says nothing about it.
fn new_token() -> Result<String, VaultError> {
    Ok(format!("ba_{}", hex(&clock::random_bytes::<12>()?)))
}

fn already_linked(error: StoreError) -> ApiError {
    if error.breaks("bank_accounts_linked_once") {
        ApiError::conflict("already_linked", "this bank account is linked already")
    } else {
        error.into()
    }
}

/// List a person's bank accounts.
///
/// For the person and administrators; newest first, deactivated ones too.
#[utoipa::path(
    get,
    path = "/bank-accounts/user/{user_id}",
    tag = "bank accounts",
    params(("user_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<BankAccountView>, description = "A page of the list"), OfList, OfOne, SignedIn, Always),
)]
pub async fn list_bank_accounts(
    State(app): State<App>,
    caller: Caller,
    Id(owner): Id<UserId>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<BankAccountView>>, ApiError> {
    caller.must_be(owner)?;
    let wanted = query.parse()?;
    let mut tx = app.db.begin_stale_read().await?;
    users::find(&mut tx, owner).await?.ok_or_else(ApiError::not_found)?;
    let found = bank_accounts::list(&mut tx, owner, wanted.page()).await?;
    Ok(Json(wanted.list(found, |account| account.id.0, BankAccountView::from)))
}

/// Make a bank account primary.
///
/// It becomes its owner's default in place of the present one. Neither a deactivated account nor one that a return has closed
/// can. Doing it again changes nothing.
#[utoipa::path(
    patch,
    path = "/bank-accounts/{id}/set-primary",
    tag = "bank accounts",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = BankAccountView, description = "The account as it is now"), OfOne, OfState, SignedIn, Always),
)]
pub async fn set_primary_bank_account(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<BankAccountId>,
) -> Result<Json<BankAccountView>, ApiError> {
    let owner = caller.user_id;
    let mut tx = app.db.begin().await?;
    let account = hold(&mut tx, owner, id).await?;
    if !account.is_primary {
        must_be_usable(&account)?;
        bank_accounts::clear_primary(&mut tx, owner).await?;
        bank_accounts::mark_primary(&mut tx, owner, id).await?;
        trail::done(Action::BankAccountMadePrimary).to(id).record(&mut tx).await?;
    }
    answer(tx, owner, id).await
}

/// Activate a bank account.
///
/// It takes part in new payments again, and becomes primary where its owner has no primary account. Doing it again changes
/// nothing.
#[utoipa::path(
    patch,
    path = "/bank-accounts/{id}/activate",
    tag = "bank accounts",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = BankAccountView, description = "The account as it is now"), OfOne, OfState, SignedIn, Always),
)]
pub async fn activate_bank_account(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<BankAccountId>,
) -> Result<Json<BankAccountView>, ApiError> {
    let owner = caller.user_id;
    let mut tx = app.db.begin().await?;
    let account = hold(&mut tx, owner, id).await?;
    if !account.is_active {
        bank_accounts::activate(&mut tx, owner, id).await.map_err(already_linked)?;
        trail::done(Action::BankAccountActivated).to(id).record(&mut tx).await?;
        if !bank_accounts::has_primary(&mut tx, owner).await? {
            bank_accounts::clear_primary(&mut tx, owner).await?;
            bank_accounts::mark_oldest_primary(&mut tx, owner).await?;
        }
    }
    answer(tx, owner, id).await
}

/// Deactivate a bank account.
///
/// It takes part in no new payment. If it was primary, the oldest other active account becomes primary. Doing it again changes
/// nothing.
#[utoipa::path(
    patch,
    path = "/bank-accounts/{id}/deactivate",
    tag = "bank accounts",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = BankAccountView, description = "The account as it is now"), OfOne, SignedIn, Always),
)]
pub async fn deactivate_bank_account(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<BankAccountId>,
) -> Result<Json<BankAccountView>, ApiError> {
    let owner = caller.user_id;
    let mut tx = app.db.begin().await?;
    let account = hold(&mut tx, owner, id).await?;
    if account.is_active {
        bank_accounts::deactivate(&mut tx, owner, id).await?;
        trail::done(Action::BankAccountDeactivated).to(id).record(&mut tx).await?;
    }
    if account.is_primary {
        bank_accounts::mark_oldest_primary(&mut tx, owner).await?;
    }
    answer(tx, owner, id).await
}

/// An account of `owner`'s as it is while nobody else changes any of that person's accounts.
async fn hold(tx: &mut Tx, owner: UserId, id: BankAccountId) -> Result<BankAccount, ApiError> {
    users::lock(tx, owner).await?;
    bank_accounts::find(tx, owner, id).await?.ok_or_else(ApiError::not_found)
}

fn must_be_usable(account: &BankAccount) -> Result<(), ApiError> {
    if !account.is_active {
        return Err(ApiError::wrong_status("inactive", "INACTIVE", "a deactivated account cannot be primary"));
    }
    match &account.closed_by {
        Some(code) => {
            let detail = format!("the account was closed by a return ({code}); link it anew");
            Err(ApiError::wrong_status("account_unusable", "CLOSED", detail))
        }
        None => Ok(()),
    }
}

/// Keeps the change and shows the account as it is now.
async fn answer(mut tx: Tx, owner: UserId, id: BankAccountId) -> Result<Json<BankAccountView>, ApiError> {
    let account = bank_accounts::find(&mut tx, owner, id).await?.ok_or_else(ApiError::not_found)?;
    tx.commit().await?;
    Ok(Json(account.into()))
}
