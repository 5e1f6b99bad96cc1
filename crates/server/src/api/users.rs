//! People.

use axum::extract::State;
use axum::response::Response;
use directpay_domain::id::UserId;
use directpay_domain::text::Line;
use directpay_domain::time::Instant;
use directpay_domain::trail::{Action, Actor};
use directpay_domain::user::{Email, Password, Phone, Role};
use directpay_store::Tx;
use directpay_store::users::{self, NewUser, User};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::accounts::email::{ask, counts_as_verified, email_taken};
use super::auth::Caller;
use super::created;
use super::error::{ApiError, FieldErrors};
use super::extract::{Id, Json, List, ListQuery, Query};
use super::problem::{Always, OfList, OfOne, OfState, SignedIn, WithBody};
use crate::app::App;
use crate::clock;
use crate::trail;

/// A new person.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignUp {
    /// Unique without regard to case.
    #[schema(example = "alice@example.com", max_length = 254)]
    email: String,
    /// 15 to 128 characters of any script; the commonest are refused.
    #[schema(example = "correct horse battery staple", min_length = 15, max_length = 128, format = Password)]
    password: String,
    /// As it should be shown.
    #[schema(example = "Alice Archer", min_length = 1, max_length = 200)]
    full_name: String,
    /// LANDLORD or RENTER.
    #[schema(example = "LANDLORD")]
    role: String,
    /// With country code.
    #[schema(example = "+1 555 010 2030")]
    phone: Option<String>,
}

/// What a sign-up says, parsed.
pub struct Person {
    email: Email,
    password: Password,
    full_name: Line,
    phone: Option<Phone>,
    role: Role,
}

impl SignUp {
    fn parse(self) -> Result<Person, ApiError> {
        let mut errors = FieldErrors::default();
        let email = errors.take("email", Email::parse(&self.email));
        let password = errors.take("password", Password::parse(&self.password));
        let full_name = errors.take("full_name", Line::parse(&self.full_name));
        let role = errors.take("role", Role::parse_sign_up(&self.role));
        let phone = errors.take_optional("phone", self.phone.as_deref(), Phone::parse);
        match (email, password, full_name, role, phone) {
            (Some(email), Some(password), Some(full_name), Some(role), Some(phone)) => {
                Ok(Person { email, password, full_name, phone, role })
            }
            _ => Err(errors.into_error()),
        }
    }
}

/// A person, without anything secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserView {
    /// Which person.
    id: Uuid,
    /// As it was given.
    email: String,
    /// As it is shown.
    full_name: String,
    /// LANDLORD, RENTER or ADMIN.
    #[schema(example = "LANDLORD")]
    role: &'static str,
    /// Normalized.
    phone: Option<String>,
    /// When the person signed up.
    #[schema(value_type = String, format = DateTime)]
    created_at: Instant,
}

impl From<User> for UserView {
    fn from(user: User) -> UserView {
        UserView {
            id: user.id.0,
            email: user.email,
            full_name: user.full_name,
            role: user.role.name(),
            phone: user.phone,
            created_at: user.created_at,
        }
    }
}

/// Sign up.
///
/// Anybody may sign up as a landlord or as a renter.
#[utoipa::path(
    post,
    path = "/users/",
    tag = "users",
    request_body = SignUp,
    responses((status = 201, body = UserView, description = "Signed up", headers(("Location" = String))), WithBody, OfState, Always),
    security(()),
)]
pub async fn create_user(State(app): State<App>, Json(request): Json<SignUp>) -> Result<Response, ApiError> {
    let user = enroll(&app, request.parse()?).await?;
    Ok(created(&format!("/api/v1/users/{}", user.id), UserView::from(user)))
}

/// Adds a person with a hashed password.
async fn enroll(app: &App, person: Person) -> Result<User, ApiError> {
    let about = vec![person.email.as_str().to_owned(), person.full_name.as_str().to_owned()];
    let password_hash = app.passwords.hash(person.password, about).await?;
    let user = User {
        id: UserId(clock::new_id()),
        email: person.email.as_str().to_owned(),
        full_name: person.full_name.into_string(),
        phone: person.phone.map(|phone| phone.as_str().to_owned()),
        role: person.role,
        created_at: app.clock.business(),
    };
    let mut tx = app.db.begin().await?;
    let new = NewUser { user: &user, email_key: &person.email.key(), password_hash: &password_hash };
    users::insert(&mut tx, new)
        .await
        .map_err(|error| if error.breaks("users_email") { email_taken() } else { error.into() })?;
    let signed_up = Actor::User { id: user.id, is_admin: false, credential: None };
    trail::done(Action::UserCreated).by(signed_up).to(user.id).record(&mut tx).await?;
    if app.mail.reaches_people() {
        ask(app, &mut tx, user.id, &person.email).await?;
    }
    tx.commit().await?;
    app.mail.bell.ring();
    Ok(user)
}

/// Read the own profile.
///
/// Of whoever is signed in, or of the owner of the API key.
#[utoipa::path(get, path = "/users/me", tag = "users", responses((status = 200, body = UserView, description = "The profile"), SignedIn, Always))]
pub async fn read_me(State(app): State<App>, caller: Caller) -> Result<Json<UserView>, ApiError> {
    let mut tx = app.db.begin_read().await?;
    let user = users::find(&mut tx, caller.user_id).await?.ok_or_else(ApiError::unauthorized)?;
    Ok(Json(user.into()))
}

/// Read a profile.
///
/// One's own, or that of a party to a common lease.
#[utoipa::path(
    get,
    path = "/users/{user_id}",
    tag = "users",
    params(("user_id" = Uuid, Path)),
    responses((status = 200, body = UserView, description = "The profile"), OfOne, SignedIn, Always),
)]
pub async fn read_user(State(app): State<App>, caller: Caller, Id(id): Id<UserId>) -> Result<Json<UserView>, ApiError> {
    let mut tx = app.db.begin_read().await?;
    let may_read =
        caller.user_id == id || caller.is_admin() || users::share_a_lease(&mut tx, caller.user_id, id).await?;
    if !may_read {
        return Err(ApiError::not_found());
    }
    let user = users::find(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    Ok(Json(user.into()))
}

/// Finding people by address.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EmailQuery {
    /// Finds the one person of the role with exactly this address; for landlords.
    email: Option<String>,
}

/// List people of a role.
///
/// Those with whom the caller shares a lease; administrators see all. With `email` a landlord finds the one person with
/// exactly that address, to name as a new renter; where the server sends mail, only one who has confirmed it.
#[utoipa::path(
    get,
    path = "/users/role/{role}",
    tag = "users",
    params(("role" = String, Path, example = "RENTER"), ListQuery, EmailQuery),
    responses((status = 200, body = List<UserView>, description = "A page of the list"), OfList, OfOne, SignedIn, Always),
)]
pub async fn list_users(
    State(app): State<App>,
    caller: Caller,
    Id(role): Id<RoleName>,
    Query(query): Query<ListQuery>,
    Query(by): Query<EmailQuery>,
) -> Result<Json<List<UserView>>, ApiError> {
    let wanted = query.parse()?;
    // Whoever asks for an address is about to sign a lease with that person.
    let mut tx = if by.email.is_some() { app.db.begin_read().await? } else { app.db.begin_stale_read().await? };
    let found = match by.email {
        Some(email) => find_by_email(&app, &mut tx, caller, role.0, &email).await?,
        None if caller.is_admin() => users::list_by_role(&mut tx, role.0, wanted.page()).await?,
        None => users::list_on_common_leases(&mut tx, caller.user_id, role.0, wanted.page()).await?,
    };
    Ok(Json(wanted.list(found, |user| user.id.0, UserView::from)))
}

async fn find_by_email(app: &App, tx: &mut Tx, caller: Caller, role: Role, email: &str) -> Result<Vec<User>, ApiError> {
    let email = Email::parse(email).map_err(|invalid| ApiError::bad_query("email", invalid))?;
    let Some(found) = users::find_by_email(tx, role, &email.key()).await? else { return Ok(Vec::new()) };
    let may_see = match caller.role {
        Role::Admin => true,
        // Whoever signed up with somebody else's address is not to be taken for that person.
        Role::Landlord => role != Role::Admin && counts_as_verified(app, tx, found.id).await?,
        Role::Renter => users::share_a_lease(tx, caller.user_id, found.id).await?,
    };
    Ok(if may_see { vec![found] } else { Vec::new() })
}

/// A role in a path.
pub struct RoleName(Role);

impl std::str::FromStr for RoleName {
    type Err = ();
    fn from_str(text: &str) -> Result<RoleName, ()> {
        Role::parse(text).map(RoleName).map_err(|_| ())
    }
}
