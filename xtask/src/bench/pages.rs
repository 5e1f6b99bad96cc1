//! The first page of a landlord's payments against the hundredth.

use anyhow::{Context, Result};
use serde_json::json;
use uuid::Uuid;

use super::load::pages::{self, Pages};
use super::settling;
use super::world::World;
use crate::api::{Api, Person};

/// Payments on a page.
const LIMIT: usize = 10;

/// The page that lies far behind.
const FAR: usize = 100;

/// Makes the list of the first landlord long enough, if it is not.
pub(super) async fn lengthen(api: &Api, world: &World) -> Result<()> {
    let landlord = world.landlords.first().context("nobody is paid")?;
    if far_page(api, landlord).await?.is_some() {
        return Ok(());
    }
    let tenancy = world.tenancies.iter().find(|tenancy| tenancy.landlord == 0).context("nobody pays")?;
    for _ in 0..FAR * LIMIT {
        let key = Uuid::new_v4().to_string();
        let payment = json!({"lease_id": tenancy.lease_id, "amount": "1500.00", "idempotency_key": key});
        api.create(&tenancy.renter, "/payments/", &payment).await?;
    }
    settling::check(api, world).await
}

/// How long both pages take on the server at `host`, when nobody pays.
pub(super) async fn compare(api: &Api, host: &str, world: &World) -> Result<Pages> {
    let landlord = world.landlords.first().context("nobody is paid")?;
    let far = far_page(api, landlord).await?.context("a list without a page so far behind")?;
    pages::compare(host, &landlord.token, &format!("/api/v1{}", page(None)), &format!("/api/v1{far}")).await
}

/// Where the far page is, if the list is so long.
async fn far_page(api: &Api, landlord: &Person) -> Result<Option<String>> {
    let mut path = page(None);
    for _ in 1..FAR {
        let list = api.get(landlord, &path).await?;
        let Some(cursor) = list.get("next_cursor").and_then(|cursor| cursor.as_str()) else { return Ok(None) };
        path = page(Some(cursor));
    }
    Ok(Some(path))
}

fn page(cursor: Option<&str>) -> String {
    let cursor = cursor.map_or(String::new(), |cursor| format!("&cursor={cursor}"));
    format!("/payments/?limit={LIMIT}{cursor}")
}
