//! Every series that docs/METRICS.md names is there and moves when what it counts happens. Scenes make it happen, each on a
//! server of its own, and say which series have moved there; what none of them has moved is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use super::{refused, scenes, scrape, work};
use crate::e2e::{forwarded, harness::PATIENCE, jwt, tls, trace};

/// What cannot move in a test, and why.
const STILL: &[(&str, &str)] = &[
    ("semel_build_info", "a process has one version"),
    ("process_start_time_seconds", "a process starts once"),
    ("process_max_fds", "it is settled when the server starts"),
    ("semel_store_max_bytes", "it is settled when the store is opened"),
    ("semel_store_log_max_bytes", "it is settled when the store is made"),
    ("semel_calls_refused_total reason=LEASE_STALE", "reports of workers are refused on their stream, which goes on"),
    ("semel_calls_refused_total reason=INTERNAL", "it is a fault of the server's own"),
];

/// The series of one server, as they were when it was first looked at and as they moved since.
pub(crate) struct Watched {
    address: SocketAddr,
    first: BTreeMap<String, String>,
    moved: BTreeSet<String>,
}

impl Watched {
    /// From now on.
    pub(crate) async fn begin(address: SocketAddr) -> Self {
        let mut watched = Self { address, first: BTreeMap::new(), moved: BTreeSet::new() };
        watched.look().await;
        watched
    }

    /// Looks at what has moved.
    pub(crate) async fn look(&mut self) {
        let text = scrape(self.address).await;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            // What only grows begins at nothing, whenever it is first seen.
            let name = series.split('{').next().unwrap_or_default();
            let grows = ["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end));
            let first = self.first.entry(series.to_owned());
            let first = first.or_insert_with(|| if grows { "0".to_owned() } else { value.to_owned() });
            if number(first) != number(value) {
                if STILL.iter().any(|(still, _)| *still == name) {
                    println!("{series} is {value} and was {first}");
                }
                self.moved.insert(series.to_owned());
            }
        }
    }

    /// Looks until all of these have moved.
    pub(crate) async fn until(&mut self, series: &[&str]) {
        for series in series {
            let moved = async {
                while !self.has_moved(series) {
                    self.look().await;
                    tokio::task::yield_now().await;
                }
            };
            let came = tokio::time::timeout(PATIENCE, moved).await;
            assert!(came.is_ok(), "{series} does not move: {}", scrape(self.address).await);
        }
    }

    /// Whether this has moved.
    pub(crate) fn has_moved(&self, series: &str) -> bool {
        self.moved.contains(series)
    }

    /// What a series is at now; none if it is not there.
    pub(crate) async fn value(&self, series: &str) -> Option<f64> {
        let text = scrape(self.address).await;
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(number))
    }

    /// What has moved since the beginning.
    pub(crate) async fn end(mut self) -> BTreeSet<String> {
        self.look().await;
        self.moved
    }
}

fn number(text: &str) -> f64 {
    text.parse().expect("a number")
}

/// Something of the page that must move: a metric, or all of its series with one value of a label.
struct Wanted {
    /// As [`STILL`] names it: the name, with the label and its value behind it.
    key: String,
    /// What its series are called.
    series: String,
    /// As the series have it: `label="value"`.
    label: Option<String>,
}

impl Wanted {
    fn is_among(&self, moved: &BTreeSet<String>) -> bool {
        moved.iter().any(|found| {
            let (name, labels) = found.split_once('{').unwrap_or((found, ""));
            let mut labels = labels.trim_end_matches('}').split(',');
            name == self.series && self.label.as_ref().is_none_or(|label| labels.any(|one| one == label))
        })
    }

    fn is_still(&self) -> bool {
        STILL.iter().any(|(still, _)| *still == self.key)
    }
}

/// All that the page names.
fn wanted() -> Vec<Wanted> {
    let page = include_str!("../../../docs/METRICS.md");
    let mut wanted = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, kind, labels, _, _] = cells[..] else { continue };
        let name = name.trim_matches('`');
        let series = if kind == "histogram" { format!("{name}_count") } else { name.to_owned() };
        let closed: Vec<_> = labels.split(';').filter_map(|label| label.split_once("`: ")).collect();
        if closed.is_empty() {
            wanted.push(Wanted { key: name.to_owned(), series: series.clone(), label: None });
        }
        for (label, values) in closed {
            let label = label.trim().trim_matches('`');
            wanted.extend(values.split(", ").map(|value| Wanted {
                key: format!("{name} {label}={value}"),
                series: series.clone(),
                label: Some(format!("{label}=\"{value}\"")),
            }));
        }
    }
    wanted
}

/// Series whose labels have values that the page does not name, where it names them.
pub(super) fn not_on_the_page(text: &str) -> Vec<&str> {
    let wanted = wanted();
    let is_known = |name: &str, label: &str| {
        let of_label = format!("{}=", label.split('=').next().unwrap_or_default());
        let mut named = wanted.iter().filter(|one| one.series == name).filter_map(|one| one.label.as_deref());
        let mut named = named.by_ref().filter(|one| one.starts_with(&of_label)).peekable();
        named.peek().is_none() || named.any(|one| one == label)
    };
    let series = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    let unknown = |series: &&str| {
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let mut labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
        labels.any(|label| !is_known(name, label))
    };
    series.map(|(series, _)| series).filter(unknown).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_metric_of_the_page_is_there_and_moves() {
    let mut moved = BTreeSet::new();
    moved.append(&mut refused::by_the_rules().await);
    moved.append(&mut refused::before_the_engine().await);
    moved.append(&mut refused::too_late_or_too_many().await);
    moved.append(&mut scenes::anonymous().await);
    moved.append(&mut scenes::connections().await);
    moved.append(&mut scenes::triggers().await);
    moved.append(&mut work::runs_workers_and_watchers().await);
    moved.append(&mut work::the_disk_and_what_is_forgotten().await);
    moved.append(&mut tls::certificates_are_counted().await);
    moved.append(&mut jwt::keys_are_counted().await);
    moved.append(&mut forwarded::proxies_are_counted().await);
    moved.append(&mut trace::spans_are_counted().await);

    let wanted = wanted();
    assert!(wanted.len() > 100, "the page was not understood: {} metrics", wanted.len());
    let lacking: Vec<_> =
        wanted.iter().filter(|one| one.is_still() == one.is_among(&moved)).map(|one| &one.key).collect();
    assert!(lacking.is_empty(), "these did not move, or moved though they are said not to: {lacking:#?}");
    for (still, _) in STILL {
        assert!(wanted.iter().any(|one| one.key == *still), "{still} does not stand in the page");
    }
}
