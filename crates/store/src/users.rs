//! People.

use directpay_domain::id::{LeaseId, UserId};
use directpay_domain::time::Instant;
use directpay_domain::user::Role;
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::{Page, StoreError};

/// A person, without the password's hash.
#[derive(Debug, Clone)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// As it was given.
    pub email: String,
    /// For people.
    pub full_name: String,
    /// Normalized.
    pub phone: Option<String>,
    /// What the person may do.
    pub role: Role,
    /// When the person signed up.
    pub created_at: Instant,
}

/// A new person.
pub struct NewUser<'a> {
    /// The person.
    pub user: &'a User,
    /// The e-mail in the form that is unique.
    pub email_key: &'a str,
    /// Argon2id, in PHC form.
    pub password_hash: &'a str,
}

/// What a sign-in is checked against.
#[derive(Deserialize, FromRow)]
pub struct Credentials {
    /// Who.
    pub id: Uuid,
    /// Argon2id, in PHC form.
    pub password_hash: String,
}

#[derive(Deserialize, FromRow)]
struct UserRow {
    id: Uuid,
    email: String,
    full_name: String,
    phone: Option<String>,
    role: String,
    created_at: i64,
}

impl UserRow {
    fn into_user(self) -> Result<User, StoreError> {
        Ok(User {
            id: UserId(self.id),
            email: self.email,
            full_name: self.full_name,
            phone: self.phone,
            role: Role::parse(&self.role).map_err(StoreError::damaged("role"))?,
            created_at: Instant::from_micros(self.created_at).map_err(StoreError::damaged("time"))?,
        })
    }
}

fn into_users(rows: Vec<UserRow>) -> Result<Vec<User>, StoreError> {
    rows.into_iter().map(UserRow::into_user).collect()
}

/// Adds a person. Breaks `users_email` if the address is taken.
pub async fn insert(tx: &mut Tx, new: NewUser<'_>) -> Result<(), StoreError> {
    let User { id, email, full_name, phone, role, created_at } = new.user;
    tx.execute(
        "INSERT INTO users (id, email, email_key, password_hash, full_name, phone, role, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        (id.0, email, new.email_key, new.password_hash, full_name, phone, role.name(), created_at.micros()),
    )
    .await?;
    Ok(())
}

/// What a sign-in under this address is checked against.
pub async fn credentials(tx: &mut Tx, email_key: &str) -> Result<Option<Credentials>, StoreError> {
    let found = tx.fetch_optional("SELECT id, password_hash FROM users WHERE email_key = $1", (email_key,)).await?;
    Ok(found)
}

/// One person.
pub async fn find(tx: &mut Tx, id: UserId) -> Result<Option<User>, StoreError> {
    let row: Option<UserRow> = tx
        .fetch_optional("SELECT id, email, full_name, phone, role, created_at FROM users WHERE id = $1", (id.0,))
        .await?;
    row.map(UserRow::into_user).transpose()
}

/// Gives a person another password.
pub async fn set_password(tx: &mut Tx, id: UserId, password_hash: &str) -> Result<(), StoreError> {
    tx.execute("UPDATE users SET password_hash = $2 WHERE id = $1", (id.0, password_hash)).await?;
    Ok(())
}

/// Gives a person another name and phone number.
pub async fn set_profile(tx: &mut Tx, id: UserId, full_name: &str, phone: Option<&str>) -> Result<(), StoreError> {
    tx.execute("UPDATE users SET full_name = $2, phone = $3 WHERE id = $1", (id.0, full_name, phone)).await?;
    Ok(())
}

/// Gives a person another address, which is proven to be theirs. Breaks `users_email` if it is taken.
pub async fn set_email(tx: &mut Tx, id: UserId, email: &str, email_key: &str, now_us: i64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE users SET email = $2, email_key = $3, email_verified_at = $4 WHERE id = $1",
        (id.0, email, email_key, now_us),
    )
    .await?;
    Ok(())
}

/// The address of a person is proven to be theirs; process time.
pub async fn verify_email(tx: &mut Tx, id: UserId, now_us: i64) -> Result<(), StoreError> {
    const VERIFY: &str = "UPDATE users SET email_verified_at = $2 WHERE id = $1 AND email_verified_at IS NULL";
    tx.execute(VERIFY, (id.0, now_us)).await?;
    Ok(())
}

/// Whether the address of a person is proven to be theirs.
pub async fn is_email_verified(tx: &mut Tx, id: UserId) -> Result<bool, StoreError> {
    const VERIFIED: &str = "SELECT EXISTS (SELECT 1 FROM users WHERE id = $1 AND email_verified_at IS NOT NULL)";
    let (is_verified,): (bool,) = tx.fetch_one(VERIFIED, (id.0,)).await?;
    Ok(is_verified)
}

/// Takes hold of a person's row, so that what depends on it changes in one order.
pub async fn lock(tx: &mut Tx, id: UserId) -> Result<(), StoreError> {
    const LOCK: crate::sql::Sql = crate::sql::sql!("SELECT id FROM users WHERE id = $1", for_update);
    tx.fetch_optional::<(Uuid,)>(LOCK, (id.0,)).await?;
    Ok(())
}

/// Holds a person's row until the transaction ends, and says by what the password is known now.
pub async fn hold_password(tx: &mut Tx, id: UserId) -> Result<Option<String>, StoreError> {
    const HOLD: crate::sql::Sql = crate::sql::sql!("SELECT password_hash FROM users WHERE id = $1", for_update);
    let row: Option<(String,)> = tx.fetch_optional(HOLD, (id.0,)).await?;
    Ok(row.map(|(password_hash,)| password_hash))
}

/// Whether two people are parties to a common lease.
pub async fn share_a_lease(tx: &mut Tx, one: UserId, other: UserId) -> Result<bool, StoreError> {
    let (shares,): (bool,) = tx
        .fetch_one(
            "SELECT EXISTS (
                 SELECT 1 FROM lease_renters r JOIN leases l ON l.id = r.lease_id
                 WHERE r.renter_id = $1 AND l.landlord_id = $2
                 UNION ALL
                 SELECT 1 FROM lease_renters r JOIN leases l ON l.id = r.lease_id
                 WHERE r.renter_id = $2 AND l.landlord_id = $1
                 UNION ALL
                 SELECT 1 FROM lease_renters a JOIN lease_renters b ON b.lease_id = a.lease_id
                 WHERE a.renter_id = $1 AND b.renter_id = $2)",
            (one.0, other.0),
        )
        .await?;
    Ok(shares)
}

/// Everybody of a role, newest first; for administrators.
pub async fn list_by_role(tx: &mut Tx, role: Role, page: Page) -> Result<Vec<User>, StoreError> {
    let rows: Vec<UserRow> = tx
        .fetch_all(
            "SELECT id, email, full_name, phone, role, created_at FROM users
             WHERE role = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
            (role.name(), page.before, page.limit),
        )
        .await?;
    into_users(rows)
}

/// Those of a role with whom `caller` shares a lease, newest first.
pub async fn list_on_common_leases(
    tx: &mut Tx,
    caller: UserId,
    role: Role,
    page: Page,
) -> Result<Vec<User>, StoreError> {
    let rows: Vec<UserRow> = tx
        .fetch_all(
            "SELECT id, email, full_name, phone, role, created_at FROM users
             WHERE role = $2 AND id < $3 AND id <> $1 AND id IN (
                 SELECT r.renter_id FROM leases l JOIN lease_renters r ON r.lease_id = l.id WHERE l.landlord_id = $1
                 UNION
                 SELECT l.landlord_id FROM lease_renters r JOIN leases l ON l.id = r.lease_id WHERE r.renter_id = $1
                 UNION
                 SELECT b.renter_id FROM lease_renters a JOIN lease_renters b ON b.lease_id = a.lease_id
                 WHERE a.renter_id = $1)
             ORDER BY id DESC LIMIT $4",
            (caller.0, role.name(), page.before, page.limit),
        )
        .await?;
    into_users(rows)
}

/// The person of a role with exactly this address, so that a landlord can name a new renter.
pub async fn find_by_email(tx: &mut Tx, role: Role, email_key: &str) -> Result<Option<User>, StoreError> {
    let row: Option<UserRow> = tx
        .fetch_optional(
            "SELECT id, email, full_name, phone, role, created_at FROM users WHERE email_key = $1 AND role = $2",
            (email_key, role.name()),
        )
        .await?;
    row.map(UserRow::into_user).transpose()
}

/// The person with this address, whatever the role.
pub async fn find_by_address(tx: &mut Tx, email_key: &str) -> Result<Option<User>, StoreError> {
    let row: Option<UserRow> = tx
        .fetch_optional(
            "SELECT id, email, full_name, phone, role, created_at FROM users WHERE email_key = $1",
            (email_key,),
        )
        .await?;
    row.map(UserRow::into_user).transpose()
}

/// An id and the name that goes with it.
#[derive(Debug, Clone, Deserialize, FromRow)]
pub struct Named {
    /// Who.
    pub id: Uuid,
    /// For people.
    pub full_name: String,
}

/// The names of the people who acted in the history of a payment or lease.
pub async fn names(tx: &mut Tx, ids: &[UserId]) -> Result<Vec<Named>, StoreError> {
    const NAMES: crate::sql::Sql =
        crate::sql::sql!("SELECT u.id, u.full_name FROM", rows(id uuid), "JOIN users u ON u.id = r.id");
    let keys: Vec<_> = ids.iter().map(|id| serde_json::json!({ "id": id })).collect();
    Ok(tx.fetch_all(NAMES, (crate::values::Json(keys),)).await?)
}

/// A renter of a lease, for the lease's view.
#[derive(Debug, Clone, Deserialize, FromRow)]
pub struct RenterOfLease {
    /// Which lease.
    pub lease_id: Uuid,
    /// Who.
    pub id: Uuid,
    /// For people.
    pub full_name: String,
}

/// The renters of several leases.
pub async fn renters_of(tx: &mut Tx, leases: &[LeaseId]) -> Result<Vec<RenterOfLease>, StoreError> {
    const RENTERS: crate::sql::Sql = crate::sql::sql!(
        "SELECT lr.lease_id, u.id, u.full_name FROM",
        rows(id uuid),
        "JOIN lease_renters lr ON lr.lease_id = r.id JOIN users u ON u.id = lr.renter_id
         ORDER BY lr.lease_id, u.id"
    );
    let keys: Vec<_> = leases.iter().map(|id| serde_json::json!({ "id": id })).collect();
    Ok(tx.fetch_all(RENTERS, (crate::values::Json(keys),)).await?)
}
