//! Houses and flats that are let.

use directpay_domain::id::{PropertyId, UserId};
use directpay_domain::time::Instant;
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::{Page, StoreError};
use crate::sql::{Sql, sql};

/// A property.
#[derive(Debug, Clone)]
pub struct Property {
    /// Which one.
    pub id: PropertyId,
    /// Who lets it.
    pub landlord_id: UserId,
    /// What its landlord calls it.
    pub name: Option<String>,
    /// Street and number.
    pub address: String,
    /// The flat, where the house has several.
    pub unit: Option<String>,
    /// The city.
    pub city: String,
    /// Two letters.
    pub state: String,
    /// Five digits, or nine with a hyphen.
    pub zip_code: String,
    /// IANA name; dates of its leases are civil dates there.
    pub time_zone: String,
    /// When it was entered.
    pub created_at: Instant,
}

#[derive(Deserialize, FromRow)]
struct PropertyRow {
    id: Uuid,
    landlord_id: Uuid,
    name: Option<String>,
    address: String,
    unit: Option<String>,
    city: String,
    state: String,
    zip_code: String,
    time_zone: String,
    created_at: i64,
}

impl PropertyRow {
    fn into_property(self) -> Result<Property, StoreError> {
        Ok(Property {
            id: PropertyId(self.id),
            landlord_id: UserId(self.landlord_id),
            name: self.name,
            address: self.address,
            unit: self.unit,
            city: self.city,
            state: self.state,
            zip_code: self.zip_code,
            time_zone: self.time_zone,
            created_at: Instant::from_micros(self.created_at).map_err(StoreError::damaged("time"))?,
        })
    }
}

/// Adds a property.
pub async fn insert(tx: &mut Tx, property: &Property) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO properties (id, landlord_id, name, address, unit, city, state, zip_code, time_zone, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        (
            property.id.0,
            property.landlord_id.0,
            &property.name,
            &property.address,
            &property.unit,
            &property.city,
            &property.state,
            &property.zip_code,
            &property.time_zone,
            property.created_at.micros(),
        ),
    )
    .await?;
    Ok(())
}

/// A property, whoever's it is: the caller asks for the party before it shows anything.
pub async fn find(tx: &mut Tx, id: PropertyId) -> Result<Option<Property>, StoreError> {
    let row: Option<PropertyRow> = tx.fetch_optional("SELECT * FROM properties WHERE id = $1", (id.0,)).await?;
    row.map(PropertyRow::into_property).transpose()
}

/// A property of this landlord's, held until the transaction ends, so that of two leases made at once one comes second.
pub async fn find_for_update(tx: &mut Tx, landlord: UserId, id: PropertyId) -> Result<Option<Property>, StoreError> {
    const FIND: Sql = sql!("SELECT * FROM properties WHERE id = $1 AND landlord_id = $2", for_update);
    let row: Option<PropertyRow> = tx.fetch_optional(FIND, (id.0, landlord.0)).await?;
    row.map(PropertyRow::into_property).transpose()
}

/// A landlord's properties, newest first.
pub async fn list(tx: &mut Tx, landlord: UserId, page: Page) -> Result<Vec<Property>, StoreError> {
    let rows: Vec<PropertyRow> = tx
        .fetch_all(
            "SELECT * FROM properties WHERE landlord_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
            (landlord.0, page.before, page.limit),
        )
        .await?;
    rows.into_iter().map(PropertyRow::into_property).collect()
}
