//! Landlords, renters, accounts and leases to pay rent on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::load::Payer;
use crate::api::{Api, Person, Role};

/// Requests under way while the world is made. Signing up takes the server's processor time on purpose.
const AT_ONCE: usize = 4;

/// Access tokens live for 15 minutes: older ones than this might not live through a run.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(5 * 60);

/// How many people there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) landlords: usize,
    pub(super) renters_each: usize,
}

/// A lease, the renter who pays on it, and the place among the landlords of who is paid.
#[derive(Debug, Clone)]
pub(super) struct Tenancy {
    pub(super) lease_id: String,
    pub(super) renter: Person,
    pub(super) landlord: usize,
}

/// Everybody who pays or is paid, signed in.
#[derive(Debug)]
pub(super) struct World {
    pub(super) landlords: Vec<Person>,
    pub(super) tenancies: Vec<Tenancy>,
    signed_in_at: Instant,
}

impl World {
    /// Each renter, as the load generator needs to know.
    pub(super) fn payers(&self) -> impl Iterator<Item = Payer> {
        self.tenancies.iter().filter_map(|tenancy| {
            let landlord = self.landlords.get(tenancy.landlord)?;
            let [token, landlord_token] = [&tenancy.renter, landlord].map(|person| person.token.clone());
            Some(Payer { token, landlord_token, lease_id: tenancy.lease_id.clone() })
        })
    }

    /// Whether somebody's token may expire during a run that begins now.
    pub(super) fn is_stale(&self) -> bool {
        TOKEN_AGE_MAX < self.signed_in_at.elapsed()
    }

    /// Signs everybody in again.
    pub(super) async fn renew(&mut self, url: &str) -> Result<()> {
        let api = Api::new(url)?;
        self.signed_in_at = Instant::now();
        for landlord in &mut self.landlords {
            landlord.token = api.sign_in(&landlord.email).await?;
        }
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut renewals = JoinSet::new();
        for mut tenancy in self.tenancies.drain(..) {
            let (api, turns) = (api.clone(), Arc::clone(&turns));
            renewals.spawn(async move {
                let _turn = turns.acquire_owned().await.context("nobody closes this")?;
                tenancy.renter.token = api.sign_in(&tenancy.renter.email).await?;
                anyhow::Ok(tenancy)
            });
        }
        while let Some(tenancy) = renewals.join_next().await {
            self.tenancies.push(tenancy??);
        }
        Ok(())
    }
}

pub(super) async fn make(url: &str, size: Size, label: &str) -> Result<World> {
    let (api, signed_in_at) = (Api::new(url)?, Instant::now());
    let total = size.landlords * (1 + size.renters_each);
    let progress = ProgressBar::new(total.try_into()?)
        .with_style(ProgressStyle::with_template("{prefix:9} signing up {bar:30} {pos}/{len}")?)
        .with_prefix(label.to_owned());
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut landlords = JoinSet::new();
    for _ in 0..size.landlords {
        landlords.spawn(settle_in(api.clone(), Role::Landlord, Arc::clone(&turns), progress.clone()));
    }
    let mut world = World { landlords: Vec::new(), tenancies: Vec::new(), signed_in_at };
    let mut tenancies = JoinSet::new();
    while let Some(landlord) = landlords.join_next().await {
        let (place, landlord) = (world.landlords.len(), landlord??);
        for _ in 0..size.renters_each {
            let moving_in = move_in(api.clone(), landlord.clone(), Arc::clone(&turns), progress.clone());
            tenancies.spawn(async move { anyhow::Ok((place, moving_in.await?)) });
        }
        world.landlords.push(landlord);
    }
    while let Some(tenancy) = tenancies.join_next().await {
        let (landlord, (lease_id, renter)) = tenancy??;
        world.tenancies.push(Tenancy { lease_id, renter, landlord });
    }
    progress.finish_and_clear();
    Ok(world)
}

/// Signs somebody up and links a bank account.
async fn settle_in(api: Api, role: Role, turns: Arc<Semaphore>, progress: ProgressBar) -> Result<Person> {
    let _turn = turns.acquire_owned().await.context("nobody closes this")?;
    let person = api.sign_up(role).await?;
    let account = json!({
        "bank_name": "First Bank",
        "account_type": "CHECKING",
        "routing_number": "021000021",
        "account_number": account_number(),
        "account_holder_name": "A Person",
    });
    api.create(&person, "/bank-accounts/", &account).await?;
    progress.inc(1);
    Ok(person)
}

/// Somebody new on a lease of the landlord's.
async fn move_in(api: Api, landlord: Person, turns: Arc<Semaphore>, progress: ProgressBar) -> Result<(String, Person)> {
    let renter = settle_in(api.clone(), Role::Renter, turns, progress).await?;
    let property = json!({"address": "1 Main Street", "city": "Springfield", "state": "IL", "zip_code": "62701"});
    let property_id = api.create(&landlord, "/properties/", &property).await?;
    let lease = json!({
        "property_id": property_id,
        "renter_id": renter.id,
        "rent_amount": "1500.00",
        "payment_due_day": 1,
        "start_date": "2026-01-01",
        "end_date": "2026-12-31",
    });
    Ok((api.create(&landlord, "/leases/", &lease).await?, renter))
}

/// Starts with a 9, as none of the sandbox's scripted accounts does.
fn account_number() -> String {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    format!("9{:08}", random % 100_000_000)
}
