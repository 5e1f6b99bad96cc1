//! What is let.

use axum::extract::State;
use axum::response::Response;
use directpay_domain::id::{PropertyId, UserId};
use directpay_domain::property::{UsState, ZipCode, ZoneName};
use directpay_domain::text::Line;
use directpay_domain::time::Instant;
use directpay_domain::trail::Action;
use directpay_domain::user::Role;
use directpay_store::properties::{self, Property};
use directpay_store::users;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::Caller;
use super::created;
use super::error::{ApiError, FieldErrors};
use super::extract::{Id, Json, List, ListQuery, Query};
use super::problem::{Always, OfList, OfOne, OfRole, SignedIn, WithBody};
use crate::app::App;
use crate::clock;
use crate::trail;

/// A new property. A house with several flats is several properties with one address.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProperty {
    /// What its landlord calls it.
    #[schema(example = "Maple Street, first floor", min_length = 1, max_length = 200)]
    name: Option<String>,
    /// Street and number.
    #[schema(example = "12 Maple Street", min_length = 1, max_length = 200)]
    address: String,
    /// The flat, where the house has several.
    #[schema(example = "1A", min_length = 1, max_length = 200)]
    unit: Option<String>,
    /// The city.
    #[schema(example = "Albany", min_length = 1, max_length = 200)]
    city: String,
    /// Two letters: a state, DC or a territory.
    #[schema(example = "NY")]
    state: String,
    /// Five digits, or nine with a hyphen.
    #[schema(example = "12207")]
    zip_code: String,
    /// IANA name; the dates of its leases are civil dates there. The main zone of the state if omitted.
    #[schema(example = "America/New_York")]
    time_zone: Option<String>,
}

/// Where a property stands, parsed.
struct Place {
    name: Option<Line>,
    address: Line,
    unit: Option<Line>,
    city: Line,
    state: UsState,
    zip_code: ZipCode,
    time_zone: Option<ZoneName>,
}

impl NewProperty {
    fn parse(self) -> Result<Place, ApiError> {
        let mut errors = FieldErrors::default();
        let name = errors.take_optional("name", self.name.as_deref(), Line::parse);
        let address = errors.take("address", Line::parse(&self.address));
        let unit = errors.take_optional("unit", self.unit.as_deref(), Line::parse);
        let city = errors.take("city", Line::parse(&self.city));
        let state = errors.take("state", UsState::parse(&self.state));
        let zip_code = errors.take("zip_code", ZipCode::parse(&self.zip_code));
        let time_zone = errors.take_optional("time_zone", self.time_zone.as_deref(), ZoneName::parse);
        match (name, address, unit, city, state, zip_code, time_zone) {
            (Some(name), Some(address), Some(unit), Some(city), Some(state), Some(zip_code), Some(time_zone)) => {
                Ok(Place { name, address, unit, city, state, zip_code, time_zone })
            }
            _ => Err(errors.into_error()),
        }
    }
}

impl Place {
    /// The property that `landlord` lets there.
    fn let_by(self, landlord: UserId, now: Instant) -> Property {
        let main_zone = self.state.main_time_zone();
        Property {
            id: PropertyId(clock::new_id()),
            landlord_id: landlord,
            name: self.name.map(Line::into_string),
            address: self.address.into_string(),
            unit: self.unit.map(Line::into_string),
            city: self.city.into_string(),
            state: self.state.code().to_owned(),
            zip_code: self.zip_code.as_str().to_owned(),
            time_zone: self.time_zone.as_ref().map_or(main_zone, ZoneName::as_str).to_owned(),
            created_at: now,
        }
    }
}

/// A property.
#[derive(Debug, Serialize, ToSchema)]
pub struct PropertyView {
    /// Which property.
    id: Uuid,
    /// Who lets it.
    landlord_id: Uuid,
    /// What its landlord calls it.
    name: Option<String>,
    /// Street and number.
    #[schema(example = "12 Maple Street")]
    address: String,
    /// The flat, where the house has several.
    #[schema(example = "1A")]
    unit: Option<String>,
    /// The city.
    #[schema(example = "Albany")]
    city: String,
    /// Two letters.
    #[schema(example = "NY")]
    state: String,
    /// Five digits, or nine with a hyphen.
    #[schema(example = "12207")]
    zip_code: String,
    /// IANA name.
    #[schema(example = "America/New_York")]
    time_zone: String,
    /// When it was entered.
    #[schema(value_type = String, format = DateTime)]
    created_at: Instant,
}

impl From<Property> for PropertyView {
    fn from(property: Property) -> PropertyView {
        PropertyView {
            id: property.id.0,
            landlord_id: property.landlord_id.0,
            name: property.name,
            address: property.address,
            unit: property.unit,
            city: property.city,
            state: property.state,
            zip_code: property.zip_code,
            time_zone: property.time_zone,
            created_at: property.created_at,
        }
    }
}

/// Enter a property.
///
/// For landlords. The dates of its leases are civil dates in its time zone.
#[utoipa::path(
    post,
    path = "/properties/",
    tag = "properties",
    request_body = NewProperty,
    responses(
        (status = 201, body = PropertyView, description = "Entered", headers(("Location" = String))),
        WithBody, OfRole, SignedIn, Always,
    ),
)]
pub async fn create_property(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<NewProperty>,
) -> Result<Response, ApiError> {
    caller.must_be_landlord()?;
    let property = request.parse()?.let_by(caller.user_id, app.clock.business());
    let mut tx = app.db.begin().await?;
    properties::insert(&mut tx, &property).await?;
    trail::done(Action::PropertyCreated).to(property.id).record(&mut tx).await?;
    tx.commit().await?;
    Ok(created(&format!("/api/v1/properties/{}", property.id), PropertyView::from(property)))
}

/// Read a property.
///
/// For its landlord and administrators.
#[utoipa::path(
    get,
    path = "/properties/{id}",
    tag = "properties",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = PropertyView, description = "The property"), OfOne, SignedIn, Always),
)]
pub async fn read_property(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<PropertyId>,
) -> Result<Json<PropertyView>, ApiError> {
    let mut tx = app.db.begin_read().await?;
    let property = properties::find(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    caller.must_be(property.landlord_id)?;
    Ok(Json(property.into()))
}

/// List a landlord's properties.
///
/// For the landlord and administrators; newest first.
#[utoipa::path(
    get,
    path = "/properties/landlord/{landlord_id}",
    tag = "properties",
    params(("landlord_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<PropertyView>, description = "A page of the list"), OfList, OfOne, SignedIn, Always),
)]
pub async fn list_properties(
    State(app): State<App>,
    caller: Caller,
    Id(landlord): Id<UserId>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<PropertyView>>, ApiError> {
    caller.must_be(landlord)?;
    let wanted = query.parse()?;
    let mut tx = app.db.begin_stale_read().await?;
    users::find(&mut tx, landlord).await?.filter(|user| user.role == Role::Landlord).ok_or_else(ApiError::not_found)?;
    let found = properties::list(&mut tx, landlord, wanted.page()).await?;
    Ok(Json(wanted.list(found, |property| property.id.0, PropertyView::from)))
}
