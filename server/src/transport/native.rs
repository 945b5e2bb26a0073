//! Calls of native gRPC: their credentials are judged, and they go straight to their service.
//!
//! Our own services are found by name here and not by the general router, which is left what is seldom asked for (health,
//! reflection, what there is not). The router keeps every service in a box, cuts paths into parameters and wraps each answer's
//! body three times; and tonic clones all that lies around a service for each call, which is one counter here. Measured on two
//! cores with `RunJob` at 512 in flight: a tenth of the server's time for each call.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use semel_proto::v1::{
    app_service_server::AppServiceServer, auth_service_server::AuthServiceServer, job_service_server::JobServiceServer,
    request_service_server::RequestServiceServer, run_service_server::RunServiceServer,
    server_service_server::ServerServiceServer, trigger_service_server::TriggerServiceServer,
    worker_service_server::WorkerServiceServer,
};
use tonic::{
    body::Body,
    codegen::{BoxFuture, Service},
    server::NamedService,
    service::Routes,
};

use super::{
    answers::{Answer, Caller, Room, Served},
    asker::Asker,
    auth_layer::Judge,
    direct::{self, Sent},
    gate::Gate,
    intake::{Intake, Source},
    listen::Peer,
    observe::{self, Followed},
    open::OpenCalls,
    services::{Services, WatchDoor},
};
use crate::observe::Observers;

/// See the module. A clone is the same.
#[derive(Clone)]
pub(super) struct Native(Arc<Inner>);

struct Inner {
    judge: Judge,
    intake: Intake,
    /// For answers that have not left yet.
    room: Arc<Room>,
    services: Ours,
    /// The same, for those that are called past the library.
    all: Services,
    others: Routes,
    observers: Observers,
}

impl Native {
    /// All services of Semel, and whatever else is served; these are told of each call.
    pub(super) fn new(gate: Arc<Gate>, others: Routes, open: Arc<OpenCalls>, observers: Observers) -> Self {
        let all = Services::new(gate.clone());
        let services = Ours::new(&all, gate.settings.message_bytes_max);
        let intake = Intake::new(gate.settings.intake_bytes_max, gate.settings.message_bytes_max, open);
        let room = Arc::new(Room::new(gate.settings.answer_bytes_max));
        let judge = Judge(gate);
        Self(Arc::new(Inner { judge, intake, room, services, all, others: others.prepare(), observers }))
    }
}

/// What comes back of a call.
pub(super) type Answered = observe::Answer<Answer>;

impl Native {
    /// Serves a call that came over the connection of this peer.
    pub(super) fn serve<B: Into<Source>>(&self, request: Request<B>, peer: Option<Arc<Peer>>) -> Answered {
        let Inner { judge, intake, room, services, all, others, observers } = &*self.0;
        let mut arrival = judge.look_at(request.headers(), peer);
        let followed = Followed::begin(observers, &request, &mut arrival);
        let (gate, verdict, slot) = (judge.0.clone(), arrival.verdict.clone(), arrival.slot.clone());
        let asker = Arc::new(Asker { gate, verdict, slot });
        let caller = Caller::new(request.uri().path(), asker.clone(), room.clone());
        let answer = match intake.bound(request, &mut arrival, asker.clone()) {
            Ok((request, place)) => {
                let served = if direct::takes(&request) {
                    let (head, body) = request.into_parts();
                    Served::Direct(Box::pin(direct::serve(all.clone(), head.headers, body, arrival)))
                } else {
                    let mut request = request.map(Body::new);
                    request.extensions_mut().insert(arrival);
                    Served::General(services.call(request, others))
                };
                Answer::new(served, caller.in_place(place))
            }
            Err(refusal) => Answer::refused(asker.refuse(refusal, "")),
        };
        observe::Answer::new(answer, followed)
    }
}

/// Makes [`Ours`] of the services' names.
macro_rules! services {
    ($($field:ident: $server:ident),* $(,)?) => {
        /// The services of `semel.v1`.
        struct Ours {
            $($field: $server<Services>,)*
            watch: WatchDoor,
        }

        impl Ours {
            fn new(services: &Services, bytes: usize) -> Self {
                Self {
                    $($field: $server::new(services.clone())
                        .max_decoding_message_size(bytes)
                        .max_encoding_message_size(bytes),)*
                    watch: WatchDoor::new(services.clone(), bytes),
                }
            }

            /// The answer of the service that is named in the path, and of the others where it is none of ours.
            fn call(&self, request: Request<Body>, others: &Routes) -> BoxFuture<Response<Body>, Infallible> {
                let name = request.uri().path().strip_prefix('/').and_then(|path| path.split_once('/'));
                match name.map(|(service, _)| service) {
                    $(Some(<$server<Services> as NamedService>::NAME) => self.$field.clone().call(request),)*
                    Some(WatchDoor::NAME) => self.watch.clone().call(request),
                    _ => Box::pin(others.clone().call(request)),
                }
            }
        }
    };
}

services! {
    jobs: JobServiceServer,
    runs: RunServiceServer,
    workers: WorkerServiceServer,
    requests: RequestServiceServer,
    triggers: TriggerServiceServer,
    apps: AppServiceServer,
    auth: AuthServiceServer,
    server: ServerServiceServer,
}

impl Service<Request<Body>> for Native {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let peer = request.extensions_mut().remove();
        let answer = self.serve(request, peer);
        Box::pin(async move { Ok(answer.await?.map(Sent::into_body)) })
    }
}
