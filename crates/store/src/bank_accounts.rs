//! Linked bank accounts. The number is sealed before it comes here and opened only for the bank connection.

use directpay_domain::bank_account::AccountType;
use directpay_domain::id::{BankAccountId, UserId};
use directpay_domain::time::Instant;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::{Page, StoreError};
use crate::sql::{Sql, sql};

/// A linked account, as far as it may be shown.
#[derive(Debug, Clone)]
pub struct BankAccount {
    /// Which account.
    pub id: BankAccountId,
    /// Whose.
    pub user_id: UserId,
    /// Stands for the number outside.
    pub token: String,
    /// The bank's name.
    pub bank_name: String,
    /// Checking or savings.
    pub account_type: AccountType,
    /// In whose name it is.
    pub account_holder_name: String,
    /// ABA routing number: names the bank, not the account.
    pub routing_number: String,
    /// The last four digits of the number.
    pub last4: String,
    /// Its owner's default.
    pub is_primary: bool,
    /// Takes part in new payments.
    pub is_active: bool,
    /// The return code that closed it to new payments.
    pub closed_by: Option<String>,
    /// When it was linked.
    pub created_at: Instant,
}

/// An account number under lock.
#[derive(Debug, Clone, Deserialize, FromRow)]
pub struct SealedNumber {
    /// The ciphertext with its nonce, in base64.
    pub sealed_number: String,
    /// The key that opens it.
    pub key_id: String,
}

/// What is stored of a new account besides what is shown.
#[derive(Debug)]
pub struct NewBankAccount<'a> {
    /// What is shown.
    pub account: &'a BankAccount,
    /// The number.
    pub sealed: &'a SealedNumber,
    /// Keyed hash of routing and account number.
    pub fingerprint: &'a str,
}

#[derive(Deserialize, FromRow)]
struct AccountRow {
    id: Uuid,
    user_id: Uuid,
    token: String,
    bank_name: String,
    account_type: String,
    account_holder_name: String,
    routing_number: String,
    last4: String,
    is_primary: bool,
    is_active: bool,
    closed_by: Option<String>,
    created_at: i64,
}

impl AccountRow {
    fn into_account(self) -> Result<BankAccount, StoreError> {
        Ok(BankAccount {
            id: BankAccountId(self.id),
            user_id: UserId(self.user_id),
            token: self.token,
            bank_name: self.bank_name,
            account_type: AccountType::parse(&self.account_type).map_err(StoreError::damaged("account type"))?,
            account_holder_name: self.account_holder_name,
            routing_number: self.routing_number,
            last4: self.last4,
            is_primary: self.is_primary,
            is_active: self.is_active,
            closed_by: self.closed_by,
            created_at: Instant::from_micros(self.created_at).map_err(StoreError::damaged("time"))?,
        })
    }
}

/// Links an account. Breaks `bank_accounts_linked_once` if its owner has linked it already.
///
/// The caller holds the owner's row ([`crate::users::lock`]) and has made room for a new primary.
pub async fn insert(tx: &mut Tx, new: NewBankAccount<'_>) -> Result<(), StoreError> {
    let account = new.account;
    tx.execute(
        "INSERT INTO bank_accounts (id, user_id, token, bank_name, account_type, account_holder_name, routing_number,
                                    last4, sealed_number, key_id, fingerprint, is_primary, is_active, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, TRUE, $13)",
        (
            account.id.0,
            account.user_id.0,
            &account.token,
            &account.bank_name,
            account.account_type.name(),
            &account.account_holder_name,
            &account.routing_number,
            &account.last4,
            &new.sealed.sealed_number,
            &new.sealed.key_id,
            new.fingerprint,
            account.is_primary,
            account.created_at.micros(),
        ),
    )
    .await?;
    Ok(())
}

/// An account of its owner's; nobody else's is found.
pub async fn find(tx: &mut Tx, owner: UserId, id: BankAccountId) -> Result<Option<BankAccount>, StoreError> {
    let row: Option<AccountRow> =
        tx.fetch_optional("SELECT * FROM bank_accounts WHERE id = $1 AND user_id = $2", (id.0, owner.0)).await?;
    row.map(AccountRow::into_account).transpose()
}

/// The accounts of a person, newest first.
pub async fn list(tx: &mut Tx, owner: UserId, page: Page) -> Result<Vec<BankAccount>, StoreError> {
    let rows: Vec<AccountRow> = tx
        .fetch_all(
            "SELECT * FROM bank_accounts WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
            (owner.0, page.before, page.limit),
        )
        .await?;
    rows.into_iter().map(AccountRow::into_account).collect()
}

/// The account that a person pays with and is paid on unless another one is named.
pub async fn find_primary(tx: &mut Tx, owner: UserId) -> Result<Option<BankAccount>, StoreError> {
    let row: Option<AccountRow> =
        tx.fetch_optional("SELECT * FROM bank_accounts WHERE user_id = $1 AND is_primary", (owner.0,)).await?;
    row.map(AccountRow::into_account).transpose()
}

/// Whether there is any account at all.
pub async fn any(tx: &mut Tx) -> Result<bool, StoreError> {
    let (any,): (bool,) = tx.fetch_one("SELECT EXISTS (SELECT 1 FROM bank_accounts)", ()).await?;
    Ok(any)
}

/// Whether a person has a primary account that new payments can use.
pub async fn has_primary(tx: &mut Tx, owner: UserId) -> Result<bool, StoreError> {
    let (has,): (bool,) = tx
        .fetch_one(
            "SELECT EXISTS (SELECT 1 FROM bank_accounts WHERE user_id = $1 AND is_primary AND closed_by IS NULL)",
            (owner.0,),
        )
        .await?;
    Ok(has)
}

/// Takes the primary mark off whichever account of a person has it.
pub async fn clear_primary(tx: &mut Tx, owner: UserId) -> Result<(), StoreError> {
    tx.execute("UPDATE bank_accounts SET is_primary = FALSE WHERE user_id = $1 AND is_primary", (owner.0,)).await?;
    Ok(())
}

/// Makes an active account the primary one; the mark must be free.
pub async fn mark_primary(tx: &mut Tx, owner: UserId, id: BankAccountId) -> Result<(), StoreError> {
    tx.execute("UPDATE bank_accounts SET is_primary = TRUE WHERE id = $1 AND user_id = $2", (id.0, owner.0)).await?;
    Ok(())
}

/// Makes the oldest active account primary, usable ones first; does nothing where there is none. The mark must be free.
pub async fn mark_oldest_primary(tx: &mut Tx, owner: UserId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE bank_accounts SET is_primary = TRUE WHERE id = (
             SELECT id FROM bank_accounts WHERE user_id = $1 AND is_active
             ORDER BY closed_by IS NOT NULL, id LIMIT 1)",
        (owner.0,),
    )
    .await?;
    Ok(())
}

/// Activates an account. Breaks `bank_accounts_linked_once` if it was linked anew meanwhile.
pub async fn activate(tx: &mut Tx, owner: UserId, id: BankAccountId) -> Result<(), StoreError> {
    tx.execute("UPDATE bank_accounts SET is_active = TRUE WHERE id = $1 AND user_id = $2", (id.0, owner.0)).await?;
    Ok(())
}

/// Deactivates an account and takes the primary mark off it.
pub async fn deactivate(tx: &mut Tx, owner: UserId, id: BankAccountId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE bank_accounts SET is_active = FALSE, is_primary = FALSE WHERE id = $1 AND user_id = $2",
        (id.0, owner.0),
    )
    .await?;
    Ok(())
}

/// An account that a return closes.
#[derive(Debug, Serialize)]
pub(crate) struct Closed {
    pub(crate) id: Uuid,
    pub(crate) code: String,
}

/// Closes accounts to new payments; the first code stands.
pub(crate) async fn close(tx: &mut Tx, closed: &[Closed]) -> Result<(), StoreError> {
    const CLOSE: Sql = sql!(
        "UPDATE bank_accounts SET closed_by = r.code FROM",
        rows(id uuid, code text),
        "WHERE bank_accounts.id = r.id AND bank_accounts.closed_by IS NULL"
    );
    if !closed.is_empty() {
        tx.execute(CLOSE, (crate::values::Json(closed),)).await?;
    }
    Ok(())
}
