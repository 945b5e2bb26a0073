//! OpenTelemetry: spans and metrics, sent to a collector over OTLP. Off unless a collector is named, and then nothing is spent.
//!
//! ```text
//! transport ─▶ Tracer ── a queue of spans ──────▶ Exporter ─▶ collector
//! engine ─▶ Passages ── what of runs has ended ─▶    │
//!                                    metrics, read now and then
//! ```
//!
//! Every queue is bounded and nobody waits for any: what is too much, or what the collector does not take, is counted and lost.
//! The ids of spans about runs follow from the run (`ids`), so nothing is kept for them: whoever hands an attempt to a worker
//! and whoever draws it afterwards name it alike, also after a restart.

mod calls;
mod exporter;
mod ids;
mod lives;
mod points;
mod queue;
mod settings;
mod span;
mod tracer;

pub(crate) use self::{
    calls::{fault, rpc, served},
    exporter::Exporter,
    span::{Span, Value},
    tracer::Tracer,
};
pub use self::{
    exporter::Error,
    settings::{CollectorUrl, Headers, Settings},
    tracer::{OwnSpan, Place},
};
