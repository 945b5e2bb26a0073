//! How many connections there may be and who gives way, and what callers may send before they have proved anything.

use std::{net::SocketAddr, time::Duration};

use semel_client::v1::{self, AuthStatus};
use semel_server::transport::{ConnectionLimits, Connections};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tonic::{Code, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use super::{
    attack::raw::{DATA, END_STREAM, Heads, PING, PREFACE, Raw, SETTINGS, frame, message},
    binary::until,
    harness::{TestServer, in_time, run_job},
    wire::{PayByWire, Refused, Wire, fresh},
};

/// Comes back once the server has closed it.
async fn closed(stream: &mut TcpStream) {
    let mut bytes = [0; 1024];
    in_time(async { while matches!(stream.read(&mut bytes).await, Ok(1..)) {} }).await;
}

async fn info(wire: &Wire) -> v1::GetServerInfoResponse {
    wire.served("", v1::GetServerInfoRequest::default()).await
}

#[tokio::test]
async fn strangers_give_way_and_those_who_are_known_are_never_cut_for_others() {
    let server =
        TestServer::with(|settings| settings.connections = ConnectionLimits { total: 8, per_address: 2 }).await;
    let known = async || {
        let wire = Wire::to(&server.endpoint()).await.bearer(&server.admin_secret);
        info(&wire).await;
        wire
    };
    let first = known().await;
    let mut silent = TcpStream::connect(server.running().address()).await.expect("connects");
    let second = known().await;
    closed(&mut silent).await;
    let mut third = TcpStream::connect(server.running().address()).await.expect("connects");
    closed(&mut third).await;
    let expected = Connections { open: 2, refused_total: 0, refused_address: 1, evicted: 1 };
    assert_eq!(server.running().connections(), expected);
    info(&first).await;
    drop(first);
    until(async || (server.running().connections().open == 1).then_some(())).await;
    info(&known().await).await;
    info(&second).await;
}

#[tokio::test]
async fn a_stranger_that_was_refused_gives_way_as_one_that_says_nothing() {
    let server =
        TestServer::with(|settings| settings.connections = ConnectionLimits { total: 8, per_address: 1 }).await;
    let address = server.running().address();
    let mut first = Raw::begin(address, &[]).await.expect("it is let in");
    let heads = Heads::of("/semel.v1.ServerService/GetServerInfo", &[]);
    first.send(&[heads.begin(1), frame(DATA, END_STREAM, 1, &message(0, 0, &[]))].concat()).await.expect("it is taken");
    first.answered(1).await;
    let _second = Raw::begin(address, &[]).await.expect("it is let in");
    assert!(first.end(Duration::from_secs(10)).await.closed, "it stayed beyond what may be");
}

#[tokio::test]
async fn a_stranger_is_told_so_without_its_large_message_being_kept() {
    let pay = PayByWire::start().await;
    let payload = Some(v1::Payload { data: vec![b'x'; 900 << 10].into(), content_type: String::new() });
    let request = v1::RunJobRequest { payload, ..run_job("settle") };
    // That the refusal names the id is looked at where it is taken apart.
    let refused = pay.nobody.refused(&fresh(), request.clone()).await;
    refused.expect_with(Code::Unauthenticated, "CREDENTIALS_MISSING", AuthStatus::Missing);
    pay.pay.served(&fresh(), request).await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_in_words() {
    let pay = PayByWire::start().await;
    let payload = Some(v1::Payload { data: vec![b'x'; 5 << 20].into(), content_type: String::new() });
    let request = v1::RunJobRequest { payload, ..run_job("settle") };
    let refused = Refused::of(&pay.pay.send(&fresh(), request).await.expect_err("refused"));
    refused.expect(Code::InvalidArgument, "INVALID").says("message_bytes_max", &(4 << 20).to_string());
    assert!(pay.pay.runs().await.is_empty());
}

#[tokio::test]
async fn requests_under_way_have_a_bound_and_give_their_room_back() {
    let server = TestServer::with(|settings| settings.intake_bytes_max = 64 << 10);
    let pay = PayByWire::on(server.await).await;
    let payload = Some(v1::Payload { data: vec![b'x'; 100 << 10].into(), content_type: String::new() });
    let large = v1::RunJobRequest { payload, ..run_job("settle") };
    for _ in 0..3 {
        let refused = Refused::of(&pay.pay.send(&fresh(), large.clone()).await.expect_err("refused"));
        refused.expect(Code::ResourceExhausted, "OVERLOADED").says_when();
        pay.pay.served(&fresh(), run_job("settle")).await;
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_refused_in_words() {
    let pay = PayByWire::start().await;
    let send = async |wire: &Wire| {
        let mut grpc = Grpc::new(wire.channel.clone());
        grpc.ready().await.expect("it is there");
        // As a message of ours, this would have a header that is cut.
        let request = wire.request("\u{7f}\u{7f}".to_owned());
        let path = PathAndQuery::from_static("/semel.v1.JobService/RunJob");
        let codec = ProstCodec::<String, v1::RunJobResponse>::default();
        Refused::of(&grpc.unary(request, path, codec).await.expect_err("refused"))
    };
    send(&pay.pay).await.expect(Code::InvalidArgument, "INVALID");
    let refused = send(&pay.nobody).await;
    refused.expect_with(Code::Unauthenticated, "CREDENTIALS_MISSING", AuthStatus::Missing);
}

/// Pings, more than what they are answered finds room on the way.
const PINGS: usize = 600_000;
/// How long a write waits until the peer counts as one that takes nothing.
const STUCK: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_peer_that_reads_late_is_held_back_and_then_served_to_the_end() {
    let server = TestServer::start().await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(16 << 10).expect("the system does so");
    let address: SocketAddr = server.running().address();
    let (mut read, mut write) = socket.connect(address).await.expect("connects").into_split();
    write.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.expect("it is written");
    let pings = frame(PING, 0, 0, &[7; 8]).repeat(PINGS);
    let mut writing = tokio::spawn(async move {
        write.write_all(&pings).await.expect("all is taken in the end");
        write
    });
    assert!(timeout(STUCK, &mut writing).await.is_err(), "the server took it all and kept the answers");
    let (mut bytes, mut pongs) = (Vec::new(), 0);
    in_time(async {
        while pongs < PINGS {
            assert!(read.read_buf(&mut bytes).await.expect("it is there") > 0, "it hung up after {pongs}");
            let mut rest = &bytes[..];
            while let Some((head, behind)) = rest.split_at_checked(9) {
                let length = usize::from(head[1]) << 8 | usize::from(head[2]);
                let Some((_, behind)) = behind.split_at_checked(length) else { break };
                pongs += usize::from(head[3] == PING && head[4] == 1);
                rest = behind;
            }
            let done = bytes.len() - rest.len();
            bytes.drain(..done);
        }
    })
    .await;
    writing.await.expect("it ends");
}
