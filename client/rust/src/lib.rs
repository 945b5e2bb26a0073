//! The Rust client of Semel, a job scheduler in which **a call that was made once takes effect once, however often it
//! arrives**, and in which every answer says what became of the caller's credentials.
//!
//! # Calling
//!
//! ```no_run
//! use semel_client::{Client, Credentials, Error, Options, v1::RunJobRequest};
//!
//! # async fn example() -> Result<(), Error> {
//! let credentials = Credentials::Secret { app: "pay".into(), secret: std::env::var("PAY_SECRET").unwrap_or_default() };
//! let client = Client::connect(Options::new("http://127.0.0.1:7400").app("pay").credentials(credentials)).await?;
//!
//! let answer = client.run_job(RunJobRequest { job: "settle".into(), ..Default::default() }).await?;
//! let run = client.wait_until_finished("pay", answer.run_id).await?;
//! println!("{:?}", run.state());
//! # Ok(())
//! # }
//! ```
//!
//! There is one method for each RPC, and all go the same way:
//!
//! 1. **An id is minted once**, before anything is sent, by the server's clock as this client knows it from every answer.
//!    To survive a crash of your own program, mint it with [`Client::mint_request_id`], store it beside what you are
//!    about to do, and call with [`Client::with_request_id`]: after the crash, call again under the same id.
//! 2. **The call is sent until it has an answer**, always under that id: over lost connections, time-outs, restarts of the
//!    server, and refusals that pass; with back-off, jitter, and the delays that the server asks for; within
//!    [`Options::overall_timeout`]. What is sent again and what is not is decided by [`retry::decide`].
//! 3. **Credentials are renewed** by themselves where the client holds a [`Credentials::Secret`]: before the token ends,
//!    and once if it is refused all the same; the call is then sent again under the same id. Callers share one renewal.
//! 4. **Only a Semel server's word counts.** An OK that says nothing of the credentials, or answers another request, is no
//!    answer: the call is sent again under the same id, and fails with [`ErrorKind::NotSemel`] if it stays so.
//!
//! A fresh id is minted a second time in one case only: the server refused the first one for its time, because this
//! machine's clock is wrong, and it is certain that nothing was executed under it.
//!
//! # Tracing
//!
//! [`Options::trace_context`] names where to ask for the span that is active where a call is made; the server's spans stand
//! under it, and so does what becomes of the run. [`worker::Context::trace_context`] gives a processor the span of its attempt.
//!
//! # Failing
//!
//! An [`Error`] has the server's [`reason`](Error::reason), the [`auth_status`](Error::auth_status) (unspecified if no
//! Semel server spoke), the [`violations`](Error::violations), and the [`request_id`](Error::request_id): with it the
//! same call can be made again, or be looked up by `get_request`.
//!
//! # Watching
//!
//! [`Client::watch`] tells what happens as it happens, over as many streams as it takes: it reconnects, renews its
//! credentials and resumes by itself, tells no event twice and leaves none out. Each item has a
//! [`resume_token`](watch::Item::resume_token) to be stored beside what the program made of it, so that the same holds
//! over a restart of the program. See [`watch`].
//!
//! # Working
//!
//! ```no_run
//! use semel_client::{Client, Error, v1::Payload, worker::{Context, ProcessError, Worker}};
//!
//! async fn count(cx: Context) -> Result<Payload, ProcessError> {
//!     let words = std::str::from_utf8(&cx.payload().data)?.split_whitespace().count();
//!     cx.progress(1.0, "counted");
//!     Ok(Payload { data: words.to_string().into(), content_type: "text/plain".into() })
//! }
//!
//! # async fn example(client: Client) -> Result<(), Error> {
//! let worker = Worker::builder(client).name("host-1").processor("count", count).slots(8).build()?;
//! let summary = worker.run(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await?;
//! println!("{} attempts succeeded", summary.succeeded);
//! # Ok(())
//! # }
//! ```
//!
//! See [`worker`] for what a worker promises, and [`worker::Context`] for what a processor can do.

mod auth;
mod call;
mod causes;
mod client;
mod clock;

mod error;
mod id;
mod methods;
mod options;
mod refusal;
pub mod retry;
mod submit;
mod tls;
mod trace;
mod transport;
mod wait;
pub mod watch;
pub mod worker;

pub use call::CallOptions;
pub use client::{Call, Client};
pub use error::{Error, ErrorKind};
pub use id::RequestId;
pub use methods::{Answer, Method};
pub use options::{Credentials, Options};
pub use refusal::{Origin, Pushback, Refusal};
pub use retry::RetryOptions;
/// What stands in the details of a refusal.
pub use semel_proto::details;
/// The messages of the protocol.
pub use semel_proto::v1;
pub use submit::{RunSubmitter, Submission, SubmitMany};
pub use tls::Tls;
/// The codes of gRPC, as [`Error::code`] gives them.
pub use tonic::Code;
pub use watch::WatchOptions;
