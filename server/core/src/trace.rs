//! Where a call belongs in a distributed trace, as W3C Trace Context says it (<https://www.w3.org/TR/trace-context/>): read
//! from its two headers, kept with what the call made, and written again for whoever comes next. Nothing is decided by it.
//!
//! What does not keep to the standard is as good as nothing, and is never a reason to refuse a call.

use std::fmt::Write as _;

use minicbor::{Decode, Encode};

/// Bytes of `tracestate` that are carried on: what the standard asks of everybody.
pub const STATE_BYTES_MAX: usize = 512;
/// Members of a `tracestate`; one with more is none.
const MEMBERS_MAX: usize = 32;
/// Members longer than this are the first to go when there is too much.
const LONG_MEMBER_BYTES: usize = 128;
/// Bytes of the longest key and of the longest value.
const WORD_BYTES_MAX: usize = 256;
/// Bytes of a `traceparent` of the version that we know.
const PARENT_BYTES: usize = 55;
/// The flags that have a meaning: sampled, and that the id is random.
const FLAGS_KNOWN: u8 = 0b11;
const SAMPLED: u8 = 0b01;

/// A place in a trace: a span of it, under which others may stand.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TraceContext {
    /// Which trace; not all zeros.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub trace_id: [u8; 16],
    /// Which span of it; not all zeros.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub span_id: [u8; 8],
    /// What was decided about it: see [`TraceContext::is_sampled`].
    #[n(2)]
    pub flags: u8,
    /// What tracing systems carry along, as it came; empty if nothing. At most [`STATE_BYTES_MAX`].
    #[n(3)]
    pub state: String,
}

impl TraceContext {
    /// Reads the two headers. None if `traceparent` is not as the standard wants it; a `tracestate` that is not is left out.
    pub fn parse(parent: &str, state: &str) -> Option<Self> {
        let (trace_id, span_id, flags) = parse_parent(parent)?;
        let state = parse_state(state).unwrap_or_default();
        Some(Self { trace_id, span_id, flags: flags & FLAGS_KNOWN, state })
    }

    /// Whether its spans are recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The first place of a trace that begins here, recorded, whose id was drawn at random.
    pub fn root(trace_id: [u8; 16], span_id: [u8; 8]) -> Self {
        Self { trace_id, span_id, flags: FLAGS_KNOWN, state: String::new() }
    }

    /// Another span of the same trace.
    #[must_use]
    pub fn at(&self, span_id: [u8; 8]) -> Self {
        Self { span_id, ..self.clone() }
    }

    /// The header `traceparent`.
    pub fn parent(&self) -> String {
        let mut text = String::with_capacity(PARENT_BYTES);
        text.push_str("00-");
        push_hex(&mut text, &self.trace_id);
        text.push('-');
        push_hex(&mut text, &self.span_id);
        text.push('-');
        push_hex(&mut text, &[self.flags]);
        text
    }

    /// The id of the trace, as people look it up.
    pub fn trace_id_text(&self) -> String {
        let mut text = String::with_capacity(32);
        push_hex(&mut text, &self.trace_id);
        text
    }
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes all that is written to it");
    }
}

/// `version-trace_id-span_id-flags`, in small hexadecimal digits. A later version may have more behind it.
fn parse_parent(text: &str) -> Option<([u8; 16], [u8; 8], u8)> {
    let known = text.get(..PARENT_BYTES)?;
    let mut parts = known.split('-');
    let [version] = hex(parts.next()?)?;
    let (trace_id, span_id) = (hex(parts.next()?)?, hex(parts.next()?)?);
    let [flags] = hex(parts.next()?)?;
    let rest = &text[PARENT_BYTES..];
    let is_whole = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    let is_set = trace_id != [0; 16] && span_id != [0; 8];
    (is_whole && is_set && parts.next().is_none()).then_some((trace_id, span_id, flags))
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

/// The members of a `tracestate`, as many as are carried on. None if one is not as it should be, or there are too many.
fn parse_state(text: &str) -> Option<String> {
    let members: Vec<&str> =
        text.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty()).collect();
    if members.len() > MEMBERS_MAX {
        return None;
    }
    let mut keys = Vec::with_capacity(members.len());
    for member in &members {
        let (key, value) = member.split_once('=')?;
        if !is_key(key) || !is_value(value) || keys.contains(&key) {
            return None;
        }
        keys.push(key);
    }
    Some(shortened(members))
}

/// Within the bound: long members go first, then the last ones, which were put there first.
fn shortened(mut members: Vec<&str>) -> String {
    let length = |members: &[&str]| members.iter().map(|member| member.len() + 1).sum::<usize>().saturating_sub(1);
    while length(&members) > STATE_BYTES_MAX {
        let long = members.iter().rposition(|member| member.len() > LONG_MEMBER_BYTES);
        members.remove(long.unwrap_or(members.len() - 1));
    }
    members.join(",")
}

/// A name, or a tenant's name at a system's.
fn is_key(key: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
            && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
    };
    key.len() <= WORD_BYTES_MAX
        && match key.split_once('@') {
            None => is_word(key),
            Some((tenant, system)) => is_word(tenant) && is_word(system),
        }
}

fn is_value(value: &str) -> bool {
    (1..=WORD_BYTES_MAX).contains(&value.len())
        && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=')
}

#[cfg(test)]
mod tests;
