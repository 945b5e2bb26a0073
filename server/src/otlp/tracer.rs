//! Where calls and runs stand in traces, and to whom their spans are handed. Makes no span itself, waits for nobody, and does
//! nothing where no collector is named: what callers say of their traces is carried on all the same.

use std::sync::Arc;

use semel_core::{
    id::{AttemptNumber, RunId},
    trace::TraceContext,
};

use super::{
    ids::{self, Ids, Sampler},
    queue::SpanSender,
    span::Span,
};

/// See the module. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracer(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    spans: SpanSender,
    ids: Ids,
    sampler: Sampler,
}

/// Where a call stands.
#[derive(Clone, Debug)]
pub enum Place {
    /// Where its caller says, and no span of it is drawn here.
    Carried(TraceContext),
    /// In a span of its own.
    Own(OwnSpan),
}

/// The span of a call that is under way.
#[derive(Clone, Debug)]
pub struct OwnSpan {
    /// It.
    pub context: TraceContext,
    /// That of its caller; none if the trace begins here.
    pub parent: Option<[u8; 8]>,
}

impl Place {
    /// What goes on with what the call makes.
    pub fn context(&self) -> &TraceContext {
        match self {
            Self::Carried(context) => context,
            Self::Own(span) => &span.context,
        }
    }

    /// The span that is to be drawn.
    pub(crate) fn into_own(self) -> Option<OwnSpan> {
        match self {
            Self::Carried(_) => None,
            Self::Own(span) => Some(span),
        }
    }
}

impl Tracer {
    /// One whose spans go into this queue.
    pub(super) fn new(spans: SpanSender, ratio: f64, seed: u64) -> Self {
        Self(Some(Arc::new(Inner { spans, ids: Ids::new(seed), sampler: Sampler::new(ratio) })))
    }

    /// Whether spans are drawn at all.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Where a call stands that has just come, given what its caller says. One that says nothing begins a trace if it may,
    /// and if the ratio has it so.
    pub(crate) fn arrive(&self, caller: Option<TraceContext>, may_begin: bool) -> Option<Place> {
        let Some(inner) = &self.0 else { return caller.map(Place::Carried) };
        match caller {
            Some(caller) if caller.is_sampled() => {
                let parent = Some(caller.span_id);
                Some(Place::Own(OwnSpan { context: TraceContext { span_id: inner.ids.span(), ..caller }, parent }))
            }
            Some(caller) => Some(Place::Carried(caller)),
            None if may_begin && !inner.sampler.is_shut() => {
                let trace_id = inner.ids.trace();
                let root = || OwnSpan { context: TraceContext::root(trace_id, inner.ids.span()), parent: None };
                inner.sampler.takes(trace_id).then(|| Place::Own(root()))
            }
            None => None,
        }
    }

    /// Where a run stands: where it was made, or, if a trigger made it, in a trace of its own.
    pub(crate) fn of_run(
        &self,
        run_id: RunId,
        trace: Option<&TraceContext>,
        is_triggered: bool,
    ) -> Option<TraceContext> {
        if trace.is_some() || !is_triggered {
            return trace.cloned();
        }
        let inner = self.0.as_ref().filter(|inner| !inner.sampler.is_shut())?;
        let (trace_id, span_id) = ids::of_run(run_id);
        inner.sampler.takes(trace_id).then(|| TraceContext::root(trace_id, span_id))
    }

    /// Where an attempt stands, for its worker: in the span that is drawn of it, if one is.
    pub(crate) fn of_attempt(
        &self,
        (run_id, number): (RunId, AttemptNumber),
        trace: Option<&TraceContext>,
        is_triggered: bool,
    ) -> Option<TraceContext> {
        let place = self.of_run(run_id, trace, is_triggered)?;
        let is_drawn = self.is_on() && place.is_sampled();
        Some(if is_drawn { place.at(ids::of_attempt(run_id, number)) } else { place })
    }

    /// A span of its own below another, if that one is drawn.
    pub(crate) fn below(&self, parent: &TraceContext) -> Option<OwnSpan> {
        self.arrive(Some(parent.clone()), false)?.into_own()
    }

    /// Hands a span over.
    pub(crate) fn record(&self, span: Span) {
        if let Some(inner) = &self.0 {
            inner.spans.send(span);
        }
    }
}
