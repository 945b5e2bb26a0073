//! `RunJob`, the method of which there are most calls, on a short way between HTTP/2 and its service: one message is read, one
//! is written, and neither is compressed.
//!
//! The library's general way can do more, and has for each call two buffers of 8 KiB, a stream on either side, three boxed
//! futures and a map of extensions. Measured on two cores with 512 calls in flight, that was an eighth of the server's time for
//! each. Both ways end in the same service, and say the same of what cannot be read.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body::{Body as _, Frame, SizeHint};
use prost::Message;
use tonic::{Status, body::Body};

use super::{auth_layer::Arrival, call::Arrived, intake::Bounded, services::Services};

/// The method.
const PATH: &str = "/semel.v1.JobService/RunJob";
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
/// What stands before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Whether a call takes this way. One whose message may be compressed does not.
pub(super) fn takes<B>(request: &Request<B>) -> bool {
    request.uri().path() == PATH && !request.headers().contains_key(ENCODING)
}

/// Serves a call. There is a box for each, so it is to be a small one.
#[expect(
    clippy::manual_async_fn,
    reason = "arguments of an async function stand in it twice, what a block takes in once"
)]
pub(super) fn serve(
    services: Services,
    headers: HeaderMap,
    mut body: Bounded,
    arrival: Arrival,
) -> impl Future<Output = Response<Sent>> {
    async move {
        let answering = match message(&mut body).await {
            Ok(message) => services.make_run(Arrived { headers, arrival, message }),
            Err(status) => return status.into_http(),
        };
        answering.await.map_or_else(Status::into_http, |message| {
            let mut response = Response::new(Sent::whole(&message));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            response
        })
    }
}

/// The one message of a request. What is behind it is read and left alone, as everywhere in gRPC.
async fn message<M: Message + Default>(body: &mut Bounded) -> Result<M, Status> {
    let mut whole = Whole::default();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        if let Ok(bytes) = frame?.into_data() {
            whole.push(bytes);
        }
        if body.is_end_stream() {
            break;
        }
    }
    M::decode(whole.message()?).map_err(|error| Status::internal(format!("failed to decode Protobuf message: {error}")))
}

/// A message as it comes in, with what stands before it.
#[derive(Default)]
struct Whole {
    /// Nearly always it comes in one piece.
    first: Bytes,
    rest: BytesMut,
}

impl Whole {
    fn push(&mut self, bytes: Bytes) {
        if self.rest.is_empty() && self.first.is_empty() {
            self.first = bytes;
        } else if !self.is_there() {
            if self.rest.is_empty() {
                self.rest.put_slice(&self.first);
            }
            self.rest.put_slice(&bytes);
        }
    }

    fn bytes(&self) -> &[u8] {
        if self.rest.is_empty() { &self.first } else { &self.rest }
    }

    /// Its length, once that has come.
    fn length(&self) -> Option<usize> {
        let prefix = self.bytes().get(1..PREFIX_BYTES)?;
        Some(u32::from_be_bytes(prefix.try_into().ok()?) as usize)
    }

    fn is_there(&self) -> bool {
        self.length().is_some_and(|length| self.bytes().len() - PREFIX_BYTES >= length)
    }

    fn message(&self) -> Result<&[u8], Status> {
        let bytes = self.bytes();
        let Some(length) = self.length() else {
            let missing = if bytes.is_empty() { "there is no message" } else { "the message has ended too early" };
            return Err(Status::internal(missing));
        };
        if bytes[0] != 0 {
            return Err(Status::internal("the message is said to be compressed, and nothing says how"));
        }
        bytes[PREFIX_BYTES..].get(..length).ok_or_else(|| Status::internal("the message has ended too early"))
    }
}

/// The body of an answer.
pub(super) enum Sent {
    /// One message and a good end, all of it known.
    Whole(Option<Bytes>, Option<HeaderMap>),
    /// Any other.
    Any(Body),
}

impl Sent {
    fn whole(message: &impl Message) -> Self {
        let length = message.encoded_len();
        let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + length);
        bytes.put_u8(0);
        bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        message.encode(&mut bytes).expect("there is room for it");
        let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))]);
        Self::Whole(Some(bytes.freeze()), Some(trailers))
    }

    /// The same for those who know only bodies of the library's.
    pub(super) fn into_body(self) -> Body {
        match self {
            Self::Any(body) => body,
            whole @ Self::Whole(..) => Body::new(whole),
        }
    }
}

impl Default for Sent {
    fn default() -> Self {
        Self::Any(Body::default())
    }
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match &mut *self {
            Self::Whole(message, trailers) => {
                let frame = message.take().map(Frame::data).or_else(|| trailers.take().map(Frame::trailers));
                Poll::Ready(frame.map(Ok))
            }
            Self::Any(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(message, trailers) => message.is_none() && trailers.is_none(),
            Self::Any(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            // Who knows the length says it in a header, and no call of gRPC needs one.
            Self::Whole(..) => SizeHint::default(),
            Self::Any(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use semel_proto::v1;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<u8>, Status> {
        let mut whole = Whole::default();
        pieces.iter().for_each(|piece| whole.push(Bytes::copy_from_slice(piece)));
        whole.message().map(<[u8]>::to_vec)
    }

    #[test]
    fn a_message_is_read_however_it_is_cut() {
        let bytes = [&[0, 0, 0, 0, 3, 7, 8, 9][..], b"behind it"].concat();
        for size in 1..bytes.len() {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            assert_eq!(read(&pieces).expect("a message"), [7, 8, 9], "in pieces of {size}");
        }
        assert!(read(&[&[0, 0, 0, 0, 0]]).expect("an empty one").is_empty());
    }

    #[test]
    fn what_is_no_message_is_said_to_be_none() {
        for (bytes, says) in [
            (&[][..], "there is no message"),
            (&[0, 0, 0], "too early"),
            (&[0, 0, 0, 0, 2, 7], "too early"),
            (&[1, 0, 0, 0, 1, 7], "compressed"),
        ] {
            let status = read(&[bytes]).expect_err("none");
            assert!(status.message().contains(says), "{status:?}");
            assert_eq!(status.code(), tonic::Code::Internal);
        }
    }

    #[test]
    fn a_call_finds_room_in_a_small_box() {
        fn size<A, B, C, D, F>(_: impl Fn(A, B, C, D) -> F) -> usize {
            size_of::<F>()
        }
        // What is larger takes the allocator's long way.
        assert!(size(serve) <= 1024, "{}", size(serve));
    }

    #[tokio::test]
    async fn an_answer_is_one_message_and_a_good_end() {
        let answer = v1::RunJobResponse { run_id: "a run".to_owned(), ..Default::default() };
        let mut sent = Sent::whole(&answer);
        let mut next = async || poll_fn(|context| Pin::new(&mut sent).poll_frame(context)).await;
        let data = next().await.expect("a frame").expect("good").into_data().expect("data");
        assert_eq!(data[..PREFIX_BYTES], [0, 0, 0, 0, 7]);
        assert_eq!(v1::RunJobResponse::decode(&data[PREFIX_BYTES..]).expect("a message"), answer);
        let trailers = next().await.expect("a frame").expect("good").into_trailers().expect("trailers");
        assert_eq!(trailers["grpc-status"], "0");
        assert!(next().await.is_none() && sent.is_end_stream());
    }
}
