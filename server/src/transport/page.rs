//! Pages of lists: their size, and the token that says where the next one begins. A token is opaque and no permission:
//! it names a place, and whoever uses it is asked for rights as for the first page.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message;
use semel_proto::v1;

use super::convert::fields::Fields;

/// What a page has if nothing is said.
const SIZE_DEFAULT: usize = 50;
/// What a page has at most.
const SIZE_MAX: usize = 1000;
/// A page's bytes: gRPC clients take 4 MiB by default.
pub(super) const BYTES_MAX: usize = 3 << 20;

/// How many items are wanted.
pub(super) fn size(page: Option<&v1::PageRequest>) -> usize {
    match page.map_or(0, |page| page.page_size) {
        size if size <= 0 => SIZE_DEFAULT,
        size => usize::try_from(size).unwrap_or(SIZE_MAX).min(SIZE_MAX),
    }
}

/// Where the page begins: the bytes of the token. `kind` keeps the token of one list from being used for another.
pub(super) fn place(fields: &mut Fields, page: Option<&v1::PageRequest>, kind: u8) -> Option<Vec<u8>> {
    let token = page.map(|page| page.page_token.as_str()).filter(|token| !token.is_empty())?;
    let bytes = URL_SAFE_NO_PAD.decode(token).ok().filter(|bytes| bytes.first() == Some(&kind));
    if bytes.is_none() {
        fields.note("page.page_token", "is none that this list gave");
    }
    bytes.map(|mut bytes| bytes.split_off(1))
}

/// The token of a place.
pub(super) fn token(kind: u8, place: Option<&[u8]>) -> Option<v1::PageResponse> {
    let next_page_token = place.map_or_else(String::new, |place| URL_SAFE_NO_PAD.encode([&[kind], place].concat()));
    Some(v1::PageResponse { next_page_token })
}

/// How many of these fit into one answer: at least one.
pub(super) fn fitting<M: Message>(items: &[M]) -> usize {
    let mut bytes = 0;
    for (index, item) in items.iter().enumerate() {
        bytes += item.encoded_len();
        if bytes > BYTES_MAX && index > 0 {
            return index;
        }
    }
    items.len()
}
