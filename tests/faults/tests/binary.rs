//! The proxy as a program: its first line, a call through it, and what it says at its end.

use std::process::{ExitStatus, Stdio};

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use semel_faults::Port;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
};

struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_semel-faults"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> Value {
        let line = self.lines.next_line().await.expect("text").expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?} is no JSON: {error}"))
    }

    async fn terminate(&mut self) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("/bin/sh").args(["-c", "kill -s TERM \"$0\"", &pid]).status().await;
        assert!(sent.expect("a shell").success());
    }

    async fn ended(&mut self) -> ExitStatus {
        self.child.wait().await.expect("it ends")
    }
}

/// Makes a call; gives the HTTP status.
async fn call(address: &str) -> u16 {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    let request = http::Request::post(format!("http://{address}/semel.v1.JobService/RunJob"));
    let request = request.body(Full::new(Bytes::from_static(b"\0\0\0\0\0"))).expect("a request");
    sender.send_request(request).await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn it_says_where_it_listens_and_what_it_did() {
    let nobody = Port::reserve().expect("a free port");
    let to = nobody.address().to_string();
    let mut program = Program::start(&["--to", &to, "--plan", "refuse=1000", "--seed", "3", "-o", "json"]);
    let address = program.line().await["address"].as_str().expect("an address").to_owned();
    for _ in 0..3 {
        let status = call(&address).await;
        assert!(matches!(status, 200 | 502 | 503 | 504), "{status}");
    }
    program.terminate().await;
    let counts = program.line().await;
    assert_eq!((&counts["calls"], &counts["sent"], &counts["faults"]["refuse"]), (&3.into(), &0.into(), &3.into()));
    assert!(program.ended().await.success());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_as_such() {
    let nobody = Port::reserve().expect("a free port");
    let to = nobody.address().to_string();
    let mut program = Program::start(&["--to", &to, "--plan", "calm", "-o", "json"]);
    let address = program.line().await["address"].as_str().expect("an address").to_owned();
    assert_eq!(call(&address).await, 503);
    program.terminate().await;
    let counts = program.line().await;
    assert_eq!((&counts["sent"], &counts["unreachable"]), (&1.into(), &1.into()));
}

#[tokio::test]
async fn a_plan_that_cannot_be_read_is_refused() {
    let mut program = Program::start(&["--to", "127.0.0.1:1", "--plan", "fog=1"]);
    assert_eq!(program.ended().await.code(), Some(2));
}
