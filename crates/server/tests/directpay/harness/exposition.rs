//! What is told to Prometheus, read as strictly as Prometheus reads it.

use std::collections::{BTreeMap, BTreeSet};

/// One answer of the metrics' address.
#[derive(Debug)]
pub(crate) struct Exposition {
    pub(crate) text: String,
    /// The kind of each metric.
    kinds: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Exposition {
    pub(crate) fn parse(text: &str) -> Exposition {
        let (mut kinds, mut helped, mut samples) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("{line}"));
                assert!(help.ends_with('.') && helped.insert(name.to_owned()), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("{line}"));
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
            } else {
                samples.push(Sample::parse(line));
            }
        }
        let exposition = Exposition { text: text.to_owned(), kinds, samples };
        exposition.check(&helped);
        exposition
    }

    fn check(&self, helped: &BTreeSet<String>) {
        let mut seen = BTreeSet::new();
        for Sample { name, labels, value } in &self.samples {
            assert!(seen.insert((name, labels)), "{name} {labels:?} stands twice");
            let family = self.family(name).unwrap_or_else(|| panic!("{name} has no type"));
            assert!(helped.contains(family), "{family} has no help");
            let kind = &self.kinds[family];
            assert_eq!(kind == "counter", family.ends_with("_total"), "{family} is a {kind}");
            assert!(kind == "gauge" || (0.0 <= *value && value.is_finite()), "{name} is {value}");
            if kind == "histogram" && name.ends_with("_count") {
                let all = self.value(&format!("{family}_bucket"), &[labels, &[("le", "+Inf")].map(own).into()]);
                assert_eq!(all, Some(*value), "{name} {labels:?}");
            }
        }
    }

    /// The metric that a sample belongs to.
    fn family<'a>(&'a self, sample: &'a str) -> Option<&'a str> {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().filter_map(|end| sample.strip_suffix(end));
        let is_histogram = |name: &&str| self.kinds.get(*name).is_some_and(|kind| kind == "histogram");
        of_histogram.into_iter().find(is_histogram).or_else(|| self.kinds.contains_key(sample).then_some(sample))
    }

    /// Whether something of this name is told.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.samples.iter().any(|sample| sample.name == name)
    }

    /// The values of a label, wherever it stands.
    pub(crate) fn values_of(&self, label: &str) -> BTreeSet<&str> {
        self.samples.iter().filter_map(|sample| sample.labels.get(label)).map(String::as_str).collect()
    }

    fn value(&self, name: &str, labels: &[&BTreeMap<String, String>]) -> Option<f64> {
        let wanted: BTreeMap<_, _> = labels.iter().flat_map(|labels| labels.iter()).collect();
        let found = self
            .samples
            .iter()
            .find(|sample| sample.name == name && sample.labels.iter().collect::<BTreeMap<_, _>>() == wanted);
        found.map(|sample| sample.value)
    }

    /// The value of just this series; 0 where it is not told, as for Prometheus a counter that nobody has made.
    pub(crate) fn of(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = labels.iter().copied().map(own).collect();
        self.value(name, &[&labels]).unwrap_or(0.0)
    }
}

impl Sample {
    fn parse(line: &str) -> Sample {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let (name, labels) = match series.split_once('{') {
            None => (series, ""),
            Some((name, labels)) => (name, labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}"))),
        };
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
        // No label of ours has a quotation mark or a comma in it.
        let pairs = labels.split_terminator(',').map(|pair| {
            let (label, value) = pair.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            own((label, value.strip_suffix('"').unwrap_or_else(|| panic!("{line}"))))
        });
        Sample { name: name.to_owned(), labels: pairs.collect(), value: value.parse().unwrap() }
    }
}

fn own((label, value): (&str, &str)) -> (String, String) {
    (label.to_owned(), value.to_owned())
}
