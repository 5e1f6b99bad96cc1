//! Requests: counted by method, by the route's template and by status, never by what a caller wrote into a path.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use metrics::{Counter, Histogram};

use super::Registry;

/// What has no route: whoever tries out paths makes no new label.
const UNKNOWN: &str = "unknown";
/// The page for trying out, and all that belongs to it.
const DOCS: [&str; 3] = ["/docs", "/docs/", "/docs/{*rest}"];
const DOCUMENT: &str = "/openapi.json";

const METHODS: [Method; 7] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS];
const OTHER_METHOD: &str = "OTHER";

/// The statuses that are answered. Another one, should there ever be one, is counted as `other`.
const STATUSES: [u16; 21] =
    [200, 201, 202, 204, 303, 304, 307, 308, 400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 429, 500, 503];

/// The metrics of all routes.
pub struct Requests {
    registry: Registry,
    routes: HashMap<String, Route>,
    unknown: Route,
}

/// By the places of [`METHODS`]; one more for all others. Made when the first request comes.
#[derive(Default)]
struct Route {
    by_method: [OnceLock<Box<OfMethod>>; METHODS.len() + 1],
}

struct OfMethod {
    seconds: Histogram,
    by_status: [OnceLock<Counter>; STATUSES.len() + 1],
}

impl Requests {
    /// For these routes, as they stand in the table of routes.
    pub fn new(registry: &Registry, routes: impl Iterator<Item = String>) -> Requests {
        let routes = routes.chain([DOCS[0].to_owned(), DOCUMENT.to_owned()]);
        Requests {
            registry: registry.clone(),
            routes: routes.map(|route| (route, Route::default())).collect(),
            unknown: Route::default(),
        }
    }

    /// A request was answered. `route` is the one that it matched, if any.
    pub fn answered(&self, method: &Method, route: Option<&str>, status: StatusCode, took: Duration) {
        let route = route.map(|route| if DOCS.contains(&route) { DOCS[0] } else { route });
        let known = route.and_then(|route| self.routes.get_key_value(route));
        let (name, route) = known.map_or((UNKNOWN, &self.unknown), |(name, route)| (name.as_str(), route));
        let place = METHODS.iter().position(|known| known == method);
        let method = place.map_or(OTHER_METHOD, |_| method.as_str());
        let Some(cell) = route.by_method.get(place.unwrap_or(METHODS.len())) else { return };
        let of_method = cell.get_or_init(|| Box::new(self.of_method(name, method)));
        of_method.seconds.record(took);
        let place = STATUSES.iter().position(|known| *known == status.as_u16());
        if let Some(cell) = of_method.by_status.get(place.unwrap_or(STATUSES.len())) {
            let status = place.map_or("other", |_| status.as_str());
            cell.get_or_init(|| self.counter(name, method, status)).increment(1);
        }
    }

    fn of_method(&self, route: &str, method: &str) -> OfMethod {
        let help = "How long requests took, from the first layer to the last.";
        let labels = [("method", method), ("route", route)];
        OfMethod {
            seconds: self.registry.histogram("directpay_http_request_duration_seconds", help, &labels),
            by_status: Default::default(),
        }
    }

    fn counter(&self, route: &str, method: &str, status: &str) -> Counter {
        let help = "Requests that were answered, by method, route and status.";
        let labels = [("method", method), ("route", route), ("status", status)];
        self.registry.counter("directpay_http_requests_total", help, &labels)
    }
}
