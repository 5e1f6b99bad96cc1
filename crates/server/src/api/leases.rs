//! Who rents what, and what is due when.

use axum::extract::State;
use axum::response::Response;
use directpay_domain::calendar::parse_date;
use directpay_domain::id::{BankAccountId, LeaseId, PropertyId, UserId};
use directpay_domain::invalid::Invalid;
use directpay_domain::lease::{DueDay, FirstPeriod, LastPeriod, LeaseTerms, Proration, TerminationRefused};
use directpay_domain::money::{Amount, Currency};
use directpay_domain::rail::Rail;
use directpay_domain::time::Instant;
use directpay_domain::user::Role;
use directpay_store::charges::{self, Charge};
use directpay_store::leases::{self, Lease};
use directpay_store::properties::{self, Property};
use directpay_store::users::{self, RenterOfLease};
use directpay_store::{Page, StoreError, Tx, bank_accounts};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::amount::AmountInput;
use super::auth::Caller;
use super::created;
use super::error::{Always, ApiError, FieldErrors, OfList, OfOne, OfRole, OfState, SignedIn, WithBody};
use super::extract::{Id, Json, List, ListQuery, Query};
use crate::app::App;
use crate::{clock, scheduling};

/// A new lease.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLease {
    /// One of the caller's properties.
    #[schema(format = Uuid)]
    property_id: String,
    /// Who rents it. Either this or `renter_ids`.
    #[schema(format = Uuid)]
    renter_id: Option<String>,
    /// Who rents it, for now exactly one. Either this or `renter_id`.
    #[schema(min_items = 1, max_items = 1)]
    renter_ids: Option<Vec<String>>,
    /// What a whole period costs, at most 99,999,999.99.
    rent_amount: AmountInput,
    /// ISO 4217; USD if omitted. No rail carries another one yet.
    #[schema(example = "USD")]
    currency: Option<String>,
    /// The day of the month on which rent is due; a shorter month's last day.
    #[schema(example = 1, minimum = 1, maximum = 31)]
    payment_due_day: i64,
    /// The first day; it may be past.
    #[schema(example = "2026-01-17", format = Date)]
    start_date: String,
    /// The last day; omitted, the lease goes on from month to month.
    #[schema(example = "2026-12-31", format = Date)]
    end_date: Option<String>,
    /// The caller's account that receives the rent; the primary one if omitted.
    #[schema(format = Uuid)]
    payee_account_id: Option<String>,
    /// What the days before the first regular due date cost: PRORATE (default), FULL or NONE.
    #[schema(example = "PRORATE")]
    first_period: Option<String>,
    /// What a shortened last period costs: PRORATE (default) or FULL.
    #[schema(example = "PRORATE")]
    last_period: Option<String>,
    /// How a share is computed: ACTUAL (default), THIRTY_DAY or ANNUAL.
    #[schema(example = "ACTUAL")]
    proration: Option<String>,
}

/// A new lease, parsed; nothing that it names has been looked up.
struct Agreement {
    property_id: PropertyId,
    renter: NamedRenter,
    payee_account_id: Option<BankAccountId>,
    terms: LeaseTerms,
}

/// A renter and the field that names this person.
struct NamedRenter {
    field: &'static str,
    id: UserId,
}

impl NewLease {
    fn parse(&self) -> Result<Agreement, ApiError> {
        let mut errors = FieldErrors::default();
        let property_id = errors.take("property_id", parse_id(&self.property_id));
        let renter = self.parse_renter(&mut errors);
        let payee = errors.take_optional("payee_account_id", self.payee_account_id.as_deref(), parse_id);
        let terms = self.parse_terms(&mut errors);
        match (property_id, renter, payee, terms) {
            (Some(property_id), Some(renter), Some(payee), Some(terms)) if errors.is_empty() => Ok(Agreement {
                property_id: PropertyId(property_id),
                renter,
                payee_account_id: payee.map(BankAccountId),
                terms,
            }),
            _ => Err(errors.into_error()),
        }
    }

    fn parse_renter(&self, errors: &mut FieldErrors) -> Option<NamedRenter> {
        let (field, named) = match (&self.renter_id, self.renter_ids.as_deref()) {
            (Some(id), None) => ("renter_id", Ok(id)),
            (None, Some([id])) => ("renter_ids", Ok(id)),
            (None, None | Some([])) => ("renter_id", Err(Invalid::new("required", "name the renter"))),
            (None, Some(_)) => {
                ("renter_ids", Err(Invalid::new("too_many", "must be one renter; co-tenants come later")))
            }
            (Some(_), Some(_)) => ("renter_ids", Err(Invalid::new("ambiguous", "must not come with renter_id"))),
        };
        let id = errors.take(field, named.and_then(|text| parse_id(text)))?;
        Some(NamedRenter { field, id: UserId(id) })
    }

    fn parse_terms(&self, errors: &mut FieldErrors) -> Option<LeaseTerms> {
        let starts_on = errors.take("start_date", parse_date(&self.start_date));
        let ends_on = errors.take_optional("end_date", self.end_date.as_deref(), parse_date);
        let rent = self.parse_rent(errors);
        let due_day = errors.take("payment_due_day", DueDay::parse(self.payment_due_day));
        let first_period = errors.take_optional("first_period", self.first_period.as_deref(), FirstPeriod::parse);
        let last_period = errors.take_optional("last_period", self.last_period.as_deref(), LastPeriod::parse);
        let proration = errors.take_optional("proration", self.proration.as_deref(), Proration::parse);
        check_together(starts_on, ends_on.flatten(), rent, errors);
        Some(LeaseTerms {
            starts_on: starts_on?,
            ends_on: ends_on?,
            rent: rent?,
            due_day: due_day?,
            first_period: first_period?.unwrap_or_default(),
            last_period: last_period?.unwrap_or_default(),
            proration: proration?.unwrap_or_default(),
        })
    }

    fn parse_rent(&self, errors: &mut FieldErrors) -> Option<Amount> {
        let given = errors.take_optional("currency", self.currency.as_deref(), Currency::parse)?;
        let currency = given.unwrap_or(Currency::USD);
        if !Rail::ALL.iter().any(|rail| rail.carries(currency)) {
            errors.add("currency", Invalid::new("currency_not_carried", "is not carried by any rail"));
        }
        errors.take("rent_amount", self.rent_amount.parse(currency))
    }
}

fn parse_id(text: &str) -> Result<Uuid, Invalid> {
    Uuid::parse_str(text).map_err(|_| Invalid::new("malformed", "must be a UUID"))
}

/// The rules of [`LeaseTerms::check`], judged even where other fields are broken: harmless values stand in for those.
fn check_together(
    starts_on: Option<Date>,
    ends_on: Option<Date>,
    rent: Option<Amount>,
    errors: &mut FieldErrors,
) -> Option<()> {
    let terms = LeaseTerms {
        starts_on: starts_on.unwrap_or(Date::MIN),
        ends_on,
        rent: rent.or(Amount::from_minor(1, Currency::USD).ok())?,
        due_day: DueDay::parse(1).ok()?,
        first_period: FirstPeriod::default(),
        last_period: LastPeriod::default(),
        proration: Proration::default(),
    };
    for (field, invalid) in terms.check() {
        errors.add(field, invalid);
    }
    Some(())
}

/// A renter of a lease.
#[derive(Debug, Serialize, ToSchema)]
pub struct RenterView {
    /// Who.
    id: Uuid,
    /// As it is shown.
    #[schema(example = "Bob Baker")]
    full_name: String,
}

/// A lease.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeaseView {
    /// Which lease.
    id: Uuid,
    /// What is let.
    property_id: Uuid,
    /// Who lets it.
    landlord_id: Uuid,
    /// Who rents it.
    renters: Vec<RenterView>,
    /// The only renter; null where there are several.
    renter_id: Option<Uuid>,
    /// All renters.
    renter_ids: Vec<Uuid>,
    /// What a whole period costs.
    #[schema(example = "1500.00")]
    rent_amount: String,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
    /// The day of the month on which rent is due.
    #[schema(example = 1)]
    payment_due_day: i8,
    /// The first day.
    #[schema(value_type = String, format = Date)]
    start_date: Date,
    /// The last day; null while the lease goes on from month to month.
    #[schema(value_type = Option<String>, format = Date)]
    end_date: Option<Date>,
    /// Where the landlord wants the money; null for the primary account.
    payee_account_id: Option<Uuid>,
    /// PRORATE, FULL or NONE.
    #[schema(example = "PRORATE")]
    first_period: &'static str,
    /// PRORATE or FULL.
    #[schema(example = "PRORATE")]
    last_period: &'static str,
    /// ACTUAL, THIRTY_DAY or ANNUAL.
    #[schema(example = "ACTUAL")]
    proration: &'static str,
    /// When the landlord ended it, if so.
    #[schema(value_type = Option<String>, format = DateTime)]
    terminated_at: Option<Instant>,
    /// When it was entered.
    #[schema(value_type = String, format = DateTime)]
    created_at: Instant,
}

impl From<Lease> for LeaseView {
    fn from(lease: Lease) -> LeaseView {
        let Lease { terms, renters, .. } = lease;
        let renter_ids: Vec<_> = renters.iter().map(|renter| renter.id).collect();
        LeaseView {
            id: lease.id.0,
            property_id: lease.property_id.0,
            landlord_id: lease.landlord_id.0,
            renters: renters
                .into_iter()
                .map(|RenterOfLease { id, full_name, .. }| RenterView { id, full_name })
                .collect(),
            renter_id: if let [only] = renter_ids[..] { Some(only) } else { None },
            renter_ids,
            rent_amount: terms.rent.to_string(),
            currency: terms.rent.currency().code(),
            payment_due_day: terms.due_day.number(),
            start_date: terms.starts_on,
            end_date: terms.ends_on,
            payee_account_id: lease.payee_account_id.map(|id| id.0),
            first_period: terms.first_period.name(),
            last_period: terms.last_period.name(),
            proration: terms.proration.name(),
            terminated_at: lease.terminated_at,
            created_at: lease.created_at,
        }
    }
}

/// A row of a schedule.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChargeView {
    /// Which row.
    id: Uuid,
    /// What it is for: RENT.
    #[schema(example = "RENT")]
    kind: &'static str,
    /// When it is due.
    #[schema(value_type = String, format = Date)]
    due_date: Date,
    /// The first day that it pays for.
    #[schema(value_type = String, format = Date)]
    period_start: Date,
    /// The last day that it pays for.
    #[schema(value_type = String, format = Date)]
    period_end: Date,
    /// What is due.
    #[schema(example = "1500.00")]
    amount: String,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
}

impl From<Charge> for ChargeView {
    fn from(Charge { id, scheduled }: Charge) -> ChargeView {
        ChargeView {
            id: id.0,
            kind: scheduled.kind.name(),
            due_date: scheduled.due_date,
            period_start: scheduled.period_start,
            period_end: scheduled.period_end,
            amount: scheduled.amount.to_string(),
            currency: scheduled.amount.currency().code(),
        }
    }
}

/// A lease and everything that it charges.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScheduledLeaseView {
    /// The lease.
    #[serde(flatten)]
    lease: LeaseView,
    /// What is due when, oldest first.
    schedule: Vec<ChargeView>,
}

impl ScheduledLeaseView {
    async fn read(tx: &mut Tx, lease: Lease) -> Result<ScheduledLeaseView, StoreError> {
        let schedule = read_charges(tx, lease.id).await?;
        Ok(ScheduledLeaseView { lease: lease.into(), schedule })
    }
}

async fn read_charges(tx: &mut Tx, lease: LeaseId) -> Result<Vec<ChargeView>, StoreError> {
    Ok(charges::list(tx, lease).await?.into_iter().map(ChargeView::from).collect())
}

/// Enter a lease.
///
/// For the landlord of the property. Its schedule is made with it: every charge of a lease with an end, those of the next twelve
/// months of one without. Two leases of one property never share a day.
#[utoipa::path(
    post,
    path = "/leases/",
    tag = "leases",
    request_body = NewLease,
    responses(
        (status = 201, body = ScheduledLeaseView, headers(("Location" = String))),
        WithBody, OfRole, OfState, SignedIn, Always,
    ),
)]
pub async fn create_lease(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<NewLease>,
) -> Result<Response, ApiError> {
    caller.must_be_landlord()?;
    let agreement = request.parse()?;
    let now = app.clock.business();
    let mut tx = app.db.begin().await?;
    let (property, lease) = conclude(&mut tx, caller, agreement, now).await?;
    let today = scheduling::today_in(&property.time_zone, now)?;
    enter(&mut tx, &lease, today).await?;
    let view = ScheduledLeaseView::read(&mut tx, lease).await?;
    tx.commit().await?;
    Ok(created(&format!("/api/v1/leases/{}", view.lease.id), view))
}

/// The lease that an agreement makes, if what it names is there for the caller; else everything that is not.
async fn conclude(
    tx: &mut Tx,
    caller: Caller,
    agreement: Agreement,
    now: Instant,
) -> Result<(Property, Lease), ApiError> {
    let Agreement { property_id, renter, payee_account_id, terms } = agreement;
    let mut errors = FieldErrors::default();
    let property = errors.take("property_id", find_property(tx, caller, property_id).await?);
    let tenant = errors.take(renter.field, find_renter(tx, renter.id).await?);
    if let Some(id) = payee_account_id {
        errors.take("payee_account_id", check_payee(tx, caller, id).await?);
    }
    let (Some(property), Some(tenant), true) = (property, tenant, errors.is_empty()) else {
        return Err(errors.into_error());
    };
    let id = LeaseId(clock::new_id());
    let lease = Lease {
        id,
        property_id: property.id,
        landlord_id: property.landlord_id,
        renters: vec![RenterOfLease { lease_id: id.0, id: tenant.id.0, full_name: tenant.full_name }],
        terms,
        payee_account_id,
        terminated_at: None,
        created_at: now,
    };
    Ok((property, lease))
}

async fn find_property(tx: &mut Tx, caller: Caller, id: PropertyId) -> Result<Result<Property, Invalid>, StoreError> {
    let found = properties::find(tx, id).await?.filter(|property| property.landlord_id == caller.user_id);
    Ok(found.ok_or_else(|| Invalid::new("not_found", "is none of your properties")))
}

async fn find_renter(tx: &mut Tx, id: UserId) -> Result<Result<users::User, Invalid>, StoreError> {
    let found = users::find(tx, id).await?.filter(|user| user.role == Role::Renter);
    Ok(found.ok_or_else(|| Invalid::new("not_found", "is no renter")))
}

async fn check_payee(tx: &mut Tx, caller: Caller, id: BankAccountId) -> Result<Result<(), Invalid>, StoreError> {
    let Some(account) = bank_accounts::find(tx, caller.user_id, id).await? else {
        return Ok(Err(Invalid::new("not_found", "is none of your bank accounts")));
    };
    if !account.is_active {
        return Ok(Err(Invalid::new("inactive", "is deactivated")));
    }
    Ok(match account.closed_by {
        Some(code) => Err(Invalid::new("account_unusable", format!("was closed by a return ({code}); link it anew"))),
        None => Ok(()),
    })
}

/// Writes a lease and its schedule as of `today`.
async fn enter(tx: &mut Tx, lease: &Lease, today: Date) -> Result<(), ApiError> {
    if leases::overlapping(tx, lease.property_id, &lease.terms).await?.is_some() {
        return Err(overlap());
    }
    leases::insert(tx, lease, today)
        .await
        .map_err(|error| if error.breaks("leases_overlap") { overlap() } else { error.into() })?;
    scheduling::write(tx, lease.id, &lease.terms, today).await?;
    Ok(())
}

fn overlap() -> ApiError {
    ApiError::conflict("leases_overlap", "another lease of this property runs on some of these days")
}

/// List the own leases.
///
/// Those that the caller lets or rents, newest first. An administrator has none.
#[utoipa::path(
    get,
    path = "/leases/",
    tag = "leases",
    params(ListQuery),
    responses((status = 200, body = List<LeaseView>), OfList, SignedIn, Always),
)]
pub async fn list_leases(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<LeaseView>>, ApiError> {
    let wanted = query.parse()?;
    let mut tx = app.db.begin_read().await?;
    let found = match caller.role {
        Role::Landlord => leases::list_by_landlord(&mut tx, caller.user_id, wanted.page()).await?,
        Role::Renter => leases::list_by_renter(&mut tx, caller.user_id, None, wanted.page()).await?,
        Role::Admin => Vec::new(),
    };
    Ok(Json(wanted.list(found, |lease| lease.id.0, LeaseView::from)))
}

/// Read a lease.
///
/// For its parties and administrators.
#[utoipa::path(
    get,
    path = "/leases/{id}",
    tag = "leases",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = LeaseView), OfOne, SignedIn, Always),
)]
pub async fn read_lease(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
) -> Result<Json<LeaseView>, ApiError> {
    let mut tx = app.db.begin_read().await?;
    let lease = find_visible(&mut tx, caller, id).await?;
    Ok(Json(lease.into()))
}

/// A lease that the caller may see.
async fn find_visible(tx: &mut Tx, caller: Caller, id: LeaseId) -> Result<Lease, ApiError> {
    let found = match caller.role {
        Role::Admin => leases::find(tx, id).await?,
        Role::Landlord | Role::Renter => leases::find_for_party(tx, caller.user_id, id).await?,
    };
    found.ok_or_else(ApiError::not_found)
}

/// Read a lease's schedule.
///
/// For its parties and administrators: all rows at once, oldest first.
#[utoipa::path(
    get,
    path = "/leases/{id}/schedule",
    tag = "leases",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = List<ChargeView>), OfOne, SignedIn, Always),
)]
pub async fn read_schedule(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
) -> Result<Json<List<ChargeView>>, ApiError> {
    let mut tx = app.db.begin_read().await?;
    find_visible(&mut tx, caller, id).await?;
    Ok(Json(List { data: read_charges(&mut tx, id).await?, next_cursor: None }))
}

/// List a renter's leases.
///
/// For that renter and administrators; a landlord sees those in common with the renter. Newest first.
#[utoipa::path(
    get,
    path = "/leases/renter/{renter_id}",
    tag = "leases",
    params(("renter_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<LeaseView>), OfList, OfOne, SignedIn, Always),
)]
pub async fn list_leases_of_renter(
    State(app): State<App>,
    caller: Caller,
    Id(renter): Id<UserId>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<LeaseView>>, ApiError> {
    let wanted = query.parse()?;
    let mut tx = app.db.begin_read().await?;
    find_renter(&mut tx, renter).await?.map_err(|_| ApiError::not_found())?;
    let in_common_with = match caller.role {
        Role::Landlord if users::share_a_lease(&mut tx, caller.user_id, renter).await? => Some(caller.user_id),
        Role::Landlord => return Err(ApiError::not_found()),
        Role::Renter | Role::Admin => {
            caller.must_be(renter)?;
            None
        }
    };
    let found = leases::list_by_renter(&mut tx, renter, in_common_with, wanted.page()).await?;
    Ok(Json(wanted.list(found, |lease| lease.id.0, LeaseView::from)))
}

/// List a property's leases.
///
/// For its landlord and administrators; a renter of the property sees the own ones. Newest first.
#[utoipa::path(
    get,
    path = "/leases/property/{property_id}",
    tag = "leases",
    params(("property_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<LeaseView>), OfList, OfOne, SignedIn, Always),
)]
pub async fn list_leases_of_property(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<PropertyId>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<LeaseView>>, ApiError> {
    let wanted = query.parse()?;
    let mut tx = app.db.begin_read().await?;
    let property = properties::find(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    let only_of = match caller.must_be(property.landlord_id) {
        Ok(()) => None,
        Err(not_found) => {
            let own = leases::list_by_property(&mut tx, id, Some(caller.user_id), Page::first(1)).await?;
            own.first().ok_or(not_found)?;
            Some(caller.user_id)
        }
    };
    let found = leases::list_by_property(&mut tx, id, only_of, wanted.page()).await?;
    Ok(Json(wanted.list(found, |lease| lease.id.0, LeaseView::from)))
}

/// The new end of a lease.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Termination {
    /// The new last day, from the lease's start to its present end; it may be past.
    #[schema(example = "2026-06-30", format = Date)]
    end_date: String,
}

/// Terminate a lease.
///
/// For its landlord. Charges that begin after the new end go, and the last one is shortened as the lease says. A lease whose last
/// day has passed is ended already.
#[utoipa::path(
    post,
    path = "/leases/{id}/terminate",
    tag = "leases",
    params(("id" = Uuid, Path)),
    request_body = Termination,
    responses(
        (status = 200, body = ScheduledLeaseView),
        WithBody, OfOne, OfRole, OfState, SignedIn, Always,
    ),
)]
pub async fn terminate_lease(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
    Json(request): Json<Termination>,
) -> Result<Json<ScheduledLeaseView>, ApiError> {
    let end = parse_date(&request.end_date).map_err(|invalid| ApiError::invalid("end_date", invalid))?;
    let now = app.clock.business();
    let mut tx = app.db.begin().await?;
    let lease = hold(&mut tx, caller, id).await?;
    let lease = end_on(&mut tx, lease, end, now).await?;
    let view = ScheduledLeaseView::read(&mut tx, lease).await?;
    tx.commit().await?;
    Ok(Json(view))
}

/// A lease of the caller's as it is while nobody else changes it. A renter may know that it exists, but not end it.
async fn hold(tx: &mut Tx, caller: Caller, id: LeaseId) -> Result<Lease, ApiError> {
    if let Some(lease) = leases::find_for_update(tx, caller.user_id, id).await? {
        return Ok(lease);
    }
    find_visible(tx, caller, id).await?;
    Err(ApiError::forbidden("only the landlord may end a lease"))
}

/// Ends a lease and shortens its schedule.
async fn end_on(tx: &mut Tx, lease: Lease, end: Date, now: Instant) -> Result<Lease, ApiError> {
    let property = properties::find(tx, lease.property_id).await?.ok_or_else(ApiError::not_found)?;
    let today = scheduling::today_in(&property.time_zone, now)?;
    let terms = lease.terms.terminate(end, today).map_err(refused)?;
    leases::terminate(tx, lease.id, end, now).await?;
    scheduling::write(tx, lease.id, &terms, today).await?;
    Ok(Lease { terms, terminated_at: Some(now), ..lease })
}

fn refused(refusal: TerminationRefused) -> ApiError {
    let code = match refusal {
        TerminationRefused::AlreadyEnded => {
            return ApiError::wrong_status("already_ended", "ENDED", refusal.to_string());
        }
        TerminationRefused::BeforeStart => "before_start",
        TerminationRefused::AfterEnd => "after_end",
    };
    ApiError::invalid("end_date", Invalid::new(code, refusal.to_string()))
}
