//! Whether the process is up, and whether it can do its work.

use axum::extract::State;
use directpay_store::Schema;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::ApiError;
use super::extract::Json;
use super::problem::Always;
use crate::app::App;

/// All is well.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthView {
    /// `ok`
    #[schema(example = "ok")]
    status: &'static str,
}

/// It can do its work.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadinessView {
    /// `ok`
    #[schema(example = "ok")]
    status: &'static str,
    /// What somebody should look at, although the work goes on; omitted if there is nothing
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, example = json!(["the secrets file cannot be read"]))]
    warnings: Vec<&'static str>,
}

const OK: Json<HealthView> = Json(HealthView { status: "ok" });

/// Is the process up?
///
/// Yes, if it answers; nothing is looked at for it.
#[utoipa::path(get, path = "/health", tag = "health", responses((status = 200, body = HealthView, description = "All is well")), security(()))]
pub async fn read_health() -> Json<HealthView> {
    OK
}

/// Can it do its work?
///
/// The database answers with the right schema, and the workers of this process are alive. A secrets file that is gone or malformed does
/// not stop a process that has read it before: it is a warning.
#[utoipa::path(get, path = "/ready", tag = "health", responses((status = 200, body = ReadinessView, description = "All is well"), Always), security(()))]
pub async fn read_readiness(State(app): State<App>) -> Result<Json<ReadinessView>, ApiError> {
    match app.db.schema().await {
        Ok(Schema::Current) => {}
        Ok(Schema::Old | Schema::Newer) => return Err(ApiError::unavailable("the database has another schema")),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the database does not answer");
            return Err(ApiError::unavailable("the database does not answer"));
        }
    }
    let silent = app.pulse.silent_at(app.clock.process_us());
    if !silent.is_empty() {
        tracing::warn!(?silent, "workers are silent");
        return Err(ApiError::unavailable("a worker is silent"));
    }
    Ok(Json(ReadinessView { status: "ok", warnings: app.key_health.warnings() }))
}
