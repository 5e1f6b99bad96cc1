//! What a process lets others see: traces, log lines, and the metrics of a worker.

use std::collections::HashMap;
use std::net::TcpListener;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::lease::{PASSWORD, Renter, arrive, client};
use super::place::Place;
use super::process::Process;

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT_ID: &str = "00f067aa0ba902b7";
const ACCOUNT: &str = "48291736450918273";

/// Somebody who takes traces.
async fn collector() -> MockServer {
    let collector = MockServer::start().await;
    let taken = Mock::given(method("POST")).and(path("/v1/traces")).respond_with(ResponseTemplate::new(200));
    taken.mount(&collector).await;
    collector
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The attributes of a span as text.
fn attributes(span: &Span) -> HashMap<&str, String> {
    let text = |value: &any_value::Value| {
        if let any_value::Value::StringValue(text) = value {
            return text.clone();
        }
        if let any_value::Value::IntValue(number) = value { number.to_string() } else { format!("{value:?}") }
    };
    let attributes = span.attributes.iter();
    attributes.filter_map(|one| Some((one.key.as_str(), text(one.value.as_ref()?.value.as_ref()?)))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_name_routes_and_nothing_of_what_was_sent() {
    let (place, collector) = (Place::on_sqlite(), collector().await);
    let mut command = place.command(&["serve"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.uri());
    let server = Process::start(command).listening();
    let renter = Renter::settle_in(&server.url, ACCOUNT).await;
    let payment = renter.pay(&server.url, "traced").await.unwrap();
    let called = client()
        .get(format!("{}/api/v1/users/role/RENTER?email=nobody@example.com&plum=tree", server.url))
        .header("traceparent", format!("00-{TRACE_ID}-{PARENT_ID}-01"))
        .header("x-request-id", "asked-once")
        .send()
        .await
        .unwrap();
    assert_eq!(called.status(), 401);
    renter.payment(&server.url, payment.id()).await;
    server.stop();

    let requests = collector.received_requests().await.unwrap();
    let sent: Vec<_> =
        requests.iter().map(|request| ExportTraceServiceRequest::decode(request.body.as_slice()).unwrap()).collect();
    let resources = sent.iter().flat_map(|sent| &sent.resource_spans);
    let services = resources.clone().filter_map(|of| of.resource.as_ref()).flat_map(|resource| &resource.attributes);
    assert!(services.clone().any(|one| one.key == "service.name" && format!("{one:?}").contains("\"directpay\"")));
    let spans: Vec<&Span> = resources.flat_map(|of| &of.scope_spans).flat_map(|of| &of.spans).collect();
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name}"));

    let of_caller = named("GET /api/v1/users/role/{role}");
    assert_eq!((hex(&of_caller.trace_id), hex(&of_caller.parent_span_id)), (TRACE_ID.to_owned(), PARENT_ID.to_owned()));
    let told = attributes(of_caller);
    assert_eq!(told["http.route"], "/api/v1/users/role/{role}");
    assert_eq!(told["http.response.status_code"], "401");
    assert_eq!(told["request_id"], "asked-once");

    let paid = named("POST /api/v1/payments/");
    assert_ne!(hex(&paid.trace_id), TRACE_ID);
    assert!(spans.iter().any(|span| span.name == "intake" && span.parent_span_id == paid.span_id));
    // The transaction that it shared with others is a trace of its own, which names whom it was for.
    let batch = named("batch");
    assert!(batch.parent_span_id.is_empty() && batch.links.iter().any(|link| link.span_id == paid.span_id));
    assert!(spans.iter().any(|span| span.name == "submit" && attributes(span).contains_key("payments")));
    named("GET /api/v1/payments/{payment_id}");

    for request in &requests {
        let body = String::from_utf8_lossy(&request.body);
        for foreign in [PASSWORD, ACCOUNT, "nobody@example.com", "plum", payment.id(), "eyJ"] {
            assert!(!body.contains(foreign), "{foreign} stands in a trace");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_takes_traces_harms_nobody() {
    let place = Place::on_sqlite();
    let mut command = place.command(&["serve"]);
    command.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9/v1/traces");
    let server = Process::start(command).listening();
    Renter::settle_in(&server.url, "000123456789").await;
    server.stop();
}

/// The lines of a log in JSON.
fn lines(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_request_says_which_and_whose() {
    let place = Place::on_sqlite();
    let mut command = place.command(&["serve"]);
    command.env("DIRECTPAY_LOG", "directpay_server=debug").env("DIRECTPAY_LOG_FORMAT", "json");
    let server = Process::start(command).listening();
    let client = client();
    let (id, token, _) = arrive(&client, &server.url, "RENTER").await;
    for (path, name) in [("users/me", "asked-me"), ("payments/", "asked-payments"), ("nowhere", "asked-nowhere")] {
        let request = client.get(format!("{}/api/v1/{path}", server.url)).bearer_auth(&token);
        request.header("x-request-id", name).send().await.unwrap();
    }
    let renter = Renter::settle_in(&server.url, "000777777771").await;
    let payment = renter.pay(&server.url, "logged").await.unwrap();
    place.settle(&place.db().await).await;
    let log = lines(&server.stop().log);

    let answered: Vec<_> = log.iter().filter(|line| line["fields"]["message"] == "answered").collect();
    assert!(8 < answered.len());
    assert!(answered.iter().all(|line| line["span"]["request_id"].is_string()), "{answered:#?}");
    let mine = |request_id: &str| {
        let found = answered.iter().find(|line| line["span"]["request_id"] == request_id);
        found.unwrap_or_else(|| panic!("no line of {request_id}"))["span"].clone()
    };
    assert_eq!(mine("asked-me")["user_id"], id.as_str());
    assert_eq!(mine("asked-payments")["user_id"], id.as_str());
    assert_eq!(mine("asked-nowhere")["user_id"], Value::Null);
    let of_payment: Vec<_> = log.iter().filter(|line| line["fields"]["payment_id"] == payment.id()).collect();
    assert!(!of_payment.is_empty(), "no line says {}", payment.id());
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_workers_say_which_also_where_only_warnings_are_written() {
    let place = Place::on_sqlite();
    let mut command = place.command(&["serve"]);
    command.env("DIRECTPAY_LOG", "warn").env("DIRECTPAY_LOG_FORMAT", "json");
    let server = Process::start(command).listening();
    let db = place.db().await;
    let mut tx = db.begin().await.unwrap();
    tx.execute("DROP TABLE due_work", ()).await.unwrap();
    tx.commit().await.unwrap();
    let patience = std::time::Duration::from_secs(2);
    tokio::time::sleep(patience).await;
    let log = lines(&server.stop().log);
    let failed: Vec<_> = log.iter().filter(|line| line["fields"]["message"] == "a round failed").collect();
    assert!(!failed.is_empty() && failed.iter().all(|line| line["span"]["worker"] == "submit"), "{log:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_has_metrics_too_and_an_address_that_is_taken_is_an_error() {
    let place = Place::on_postgres();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for role in ["serve", "worker"] {
        let mut command = place.command(&[role]);
        command.env("DIRECTPAY_METRICS_LISTEN", &address);
        let ended = Process::start(command).end();
        assert!(!ended.status.success());
        assert!(ended.log.contains("DIRECTPAY_METRICS_LISTEN") && ended.log.contains(&address), "{}", ended.log);
    }
    drop(taken);
    let mut command = place.command(&["worker"]);
    command.env("DIRECTPAY_METRICS_LISTEN", &address);
    let worker = Process::start(command).saying("working on ");
    let told = client().get(format!("http://{address}/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(told.contains("directpay_worker_rounds_total{worker=\"submit beside\""), "{told}");
    worker.stop();
}
