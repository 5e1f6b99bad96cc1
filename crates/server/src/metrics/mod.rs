//! What this process tells Prometheus about itself.
//!
//! What happens is counted where it happens, by handles that were made once: nothing is looked up or put into words on the
//! way of a payment. What is so at a moment (queues, connections, what is due) is read when somebody asks, see [`sampled`].
//! Where nobody may ask, all handles lead nowhere.

pub mod recorded;
pub mod requests;
pub mod sampled;

use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use self::recorded::Recorded;

/// Upper bounds in seconds of everything that takes time.
const SECONDS: [f64; 15] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];
/// Upper bounds of how many payments share a transaction.
const PAYMENTS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1000.0];

/// All metrics of this process. Clones are the same ones.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    recorded: Arc<Recorded>,
}

impl Metrics {
    /// Metrics that lead nowhere.
    pub fn off() -> Metrics {
        Metrics::of(Registry(None))
    }

    /// Metrics that are kept for whoever asks.
    pub fn on() -> Result<Metrics, BuildError> {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
            .set_buckets_for_metric(Matcher::Suffix("_payments".to_owned()), &PAYMENTS)?;
        Ok(Metrics::of(Registry(Some(Arc::new(builder.build_recorder())))))
    }

    fn of(registry: Registry) -> Metrics {
        Metrics { recorded: Arc::new(Recorded::new(&registry)), registry }
    }

    /// Where metrics are made.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl std::ops::Deref for Metrics {
    type Target = Recorded;
    fn deref(&self) -> &Recorded {
        &self.recorded
    }
}

/// Makes handles.
#[derive(Clone)]
pub struct Registry(Option<Arc<PrometheusRecorder>>);

/// A label and its value.
type Labelled<'a> = (&'static str, &'a str);

const METADATA: Metadata<'static> = Metadata::new("directpay", Level::INFO, None);

impl Registry {
    fn key(name: &'static str, labels: &[Labelled<'_>]) -> Key {
        let labels = labels.iter().map(|(label, value)| Label::new(*label, (*value).to_owned()));
        Key::from_parts(name, labels.collect::<Vec<_>>())
    }

    /// Something that only grows.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: &[Labelled<'_>]) -> Counter {
        let Some(recorder) = &self.0 else { return Counter::noop() };
        recorder.describe_counter(KeyName::from_const_str(name), None, help.into());
        recorder.register_counter(&Registry::key(name, labels), &METADATA)
    }

    /// Something that goes up and down.
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: &[Labelled<'_>]) -> Gauge {
        let Some(recorder) = &self.0 else { return Gauge::noop() };
        recorder.describe_gauge(KeyName::from_const_str(name), None, help.into());
        recorder.register_gauge(&Registry::key(name, labels), &METADATA)
    }

    /// Something that is sorted into buckets; which ones, its unit at the end of its name says.
    pub fn histogram(&self, name: &'static str, help: &'static str, labels: &[Labelled<'_>]) -> Histogram {
        let Some(recorder) = &self.0 else { return Histogram::noop() };
        recorder.describe_histogram(KeyName::from_const_str(name), None, help.into());
        recorder.register_histogram(&Registry::key(name, labels), &METADATA)
    }

    /// Renders what was recorded; None where nothing is.
    fn handle(&self) -> Option<PrometheusHandle> {
        self.0.as_ref().map(|recorder| recorder.handle())
    }
}

/// A number of things as gauges and histograms take it.
pub fn count(number: impl TryInto<u32>) -> u32 {
    number.try_into().unwrap_or(u32::MAX)
}
