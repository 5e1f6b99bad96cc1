//! Log lines and traces.
//!
//! They are apart: a log line never becomes part of a trace, and a trace is made of spans under the name [`TRACES`] alone, whose
//! fields are chosen for it: routes and counts, never a path, a query or a body. Without an address that takes traces such spans are
//! not even made, unless somebody asks for them in the log.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context;
use axum::extract::{MatchedPath, Request};
use axum::http::StatusCode;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Key, KeyValue};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing::field::Empty;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{LogArgs, LogFormat};

/// The target of spans that traces are made of. They are of level DEBUG.
pub const TRACES: &str = "directpay::traces";

/// What traces call this service, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` call it otherwise.
const SERVICE: &str = "directpay";
/// How long the last spans may take to get away when the process ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// The log, and traces where somebody takes them.
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Begins to write log lines, and to send traces to `traces_endpoint`.
    pub fn start(args: &LogArgs, traces_endpoint: Option<String>) -> anyhow::Result<Telemetry> {
        let filter = EnvFilter::try_new(&args.log).context("DIRECTPAY_LOG is not a tracing filter")?;
        let lines =
            tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
        let lines = match args.log_format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().boxed(),
        };
        let traces = traces_endpoint.map(provider).transpose().context("traces cannot be sent")?;
        let spans = traces.as_ref().map(|provider| {
            let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer(SERVICE));
            let plain = layer.with_location(false).with_threads(false).with_tracked_inactivity(false);
            plain.with_target(false).with_filter(Targets::new().with_target(TRACES, LevelFilter::DEBUG))
        });
        tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).init();
        Ok(Telemetry { traces })
    }

    /// Sends what is left of the traces.
    pub fn finish(self) {
        if let Some(Err(error)) = self.traces.map(|provider| provider.shutdown_with_timeout(FAREWELL)) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

fn provider(endpoint: String) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).build()?;
    let name = Key::from_static_str("service.name");
    let found = Resource::builder().build();
    let is_named = found.get(&name).is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    let resource = if is_named { resource } else { resource.with_service_name(SERVICE) };
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build())
}

/// The span of a request in traces. Where the caller says of which trace the request is a part, it becomes a part of that one.
pub fn trace_of(request: &Request, request_id: &str) -> Span {
    let method = request.method().as_str();
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str);
    let span = tracing::debug_span!(
        target: TRACES,
        "request",
        otel.name = %format_args!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        request_id,
    );
    if !span.is_disabled() && request.headers().contains_key("traceparent") {
        let caller = TraceContextPropagator::new().extract(&HeaderExtractor(request.headers()));
        // Nobody takes traces, but the log is asked to show what they would be made of.
        let _only_logged = span.set_parent(caller);
    }
    span
}

/// Notes the answer on the span of a request. Only what is our fault is an error.
pub fn answered(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "error");
    }
}
