//! Where a program's calls stand in a distributed trace, in the words of W3C Trace Context. The client makes no spans; it asks
//! the program once for each logical call, keeps what it says over all attempts, and sends it.

use std::{fmt, sync::Arc};

use semel_proto::v1::TraceContext;
use tonic::metadata::MetadataMap;

type Ask = dyn Fn() -> Option<TraceContext> + Send + Sync;

/// Whom to ask; nobody by default.
#[derive(Clone, Default)]
pub(crate) struct Source(Option<Arc<Ask>>);

impl Source {
    pub(crate) fn new(ask: impl Fn() -> Option<TraceContext> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(ask)))
    }

    /// What the program says just now.
    pub(crate) fn ask(&self) -> Option<TraceContext> {
        self.0.as_ref().and_then(|ask| ask())
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Some(_)" } else { "None" })
    }
}

/// Says it in the metadata as well, which is where proxies and meshes look for it. What cannot stand there is left out.
pub(crate) fn tell(context: Option<&TraceContext>, metadata: &mut MetadataMap) {
    let Some(context) = context else { return };
    let Ok(parent) = context.traceparent.parse() else { return };
    metadata.insert("traceparent", parent);
    if let Some(state) = context.tracestate.parse().ok().filter(|_| !context.tracestate.is_empty()) {
        metadata.insert("tracestate", state);
    }
}
