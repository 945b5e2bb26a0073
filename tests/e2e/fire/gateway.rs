//! Real reverse proxies, as they stand before services: nginx and HAProxy, each set up so that it sends a call again after
//! whatever went wrong, executed or not.

use std::{
    fs::File,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use semel_faults::Port;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::e2e::{
    binary::{signal, until},
    harness::in_time,
};

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Nginx,
    HaProxy,
}

impl Kind {
    fn program(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::HaProxy => "haproxy",
        }
    }

    fn configuration(self, listen: SocketAddr, upstreams: &[SocketAddr]) -> String {
        match self {
            Self::Nginx => nginx(listen, upstreams),
            Self::HaProxy => haproxy(listen, upstreams),
        }
    }

    /// Says that it is not installed, which the gate does not let pass.
    pub(super) fn may_be_skipped(self) {
        let variable = format!("SEMEL_REQUIRE_{}", self.program().to_uppercase());
        let required = std::env::var(&variable).is_ok_and(|text| text == "1");
        assert!(!required, "{} is not installed, and {variable}=1", self.program());
        eprintln!("SKIPPED: {0} is not installed (Debian: apt-get install {0})", self.program());
    }
}

/// A proxy in the foreground, with a folder of its own. Killed when it is dropped.
pub(super) struct Gateway {
    kind: Kind,
    folder: PathBuf,
    port: Port,
    child: Child,
}

impl Gateway {
    /// Starts it before these upstreams, which are tried in turn. None if it is not installed.
    pub(super) async fn start(kind: Kind, folder: &Path, upstreams: &[SocketAddr]) -> Option<Self> {
        let port = Port::reserve().expect("a free port");
        let configuration = kind.configuration(port.address(), upstreams);
        std::fs::write(folder.join("proxy.conf"), configuration).expect("written");
        let child = match Self::spawn(kind, folder) {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => panic!("{kind:?} does not start: {error}"),
        };
        let mut gateway = Self { kind, folder: folder.to_owned(), port, child };
        gateway.serves().await;
        Some(gateway)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    fn spawn(kind: Kind, folder: &Path) -> io::Result<Child> {
        // Debian has them where only an administrator's shell looks.
        let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
        let log = || File::options().create(true).append(true).open(folder.join("error.log")).expect("a log");
        let mut command = Command::new(kind.program());
        match kind {
            Kind::Nginx => {
                command.arg("-p").arg(folder).arg("-c").arg(folder.join("proxy.conf"));
                command.arg("-e").arg(folder.join("error.log")).stdout(log());
            }
            Kind::HaProxy => {
                let access = File::options().create(true).append(true).open(folder.join("access.log")).expect("a log");
                command.arg("-db").arg("-f").arg(folder.join("proxy.conf")).stdout(access);
            }
        }
        command.env("PATH", path).stdin(Stdio::null()).stderr(log()).kill_on_drop(true);
        command.spawn()
    }

    /// Waits until it takes connections.
    async fn serves(&mut self) {
        until(async || {
            let ended = self.child.try_wait().expect("the system knows");
            assert!(ended.is_none(), "{:?} has ended: {}", self.kind, self.said());
            TcpStream::connect(self.address()).await.ok()
        })
        .await;
    }

    /// Ends it as a deployment does, and starts it on the same address.
    pub(super) async fn restart(&mut self) {
        signal(&self.child, "TERM").await;
        in_time(self.child.wait()).await.expect("it ends");
        self.child = Self::spawn(self.kind, &self.folder).expect("it was there before");
        self.serves().await;
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.join("error.log")).unwrap_or_default()
    }

    fn access_log(&self) -> String {
        std::fs::read_to_string(self.folder.join("access.log")).expect("a log")
    }

    /// How many calls it sent more than once and answered well.
    pub(super) fn repeated(&self) -> usize {
        match self.kind {
            Kind::Nginx => self.repeated_after("200 "),
            Kind::HaProxy => {
                let again =
                    |line: &&str| line.split_once(' ').is_some_and(|(status, tries)| status == "200" && tries != "0");
                self.access_log().lines().filter(again).count()
            }
        }
    }

    /// How many calls nginx sent more than once: with this status to the caller, followed by those of the upstreams.
    pub(super) fn repeated_after(&self, statuses: &str) -> usize {
        self.access_log().lines().filter(|line| line.starts_with(statuses) && line.contains(", ")).count()
    }
}

/// One process, one way in, several ways on.
///
/// Left to itself nginx passes on the body of a gRPC call as it comes, and then cannot send it again. The mirror, which
/// leads nowhere, makes it take in the whole body first.
fn nginx(listen: SocketAddr, upstreams: &[SocketAddr]) -> String {
    let servers: String = upstreams.iter().map(|to| format!("server {to} max_fails=0; ")).collect();
    let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("    {name}_temp_path {name}_temp;\n"))
        .collect();
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 4096; }}
http {{
{folders}    log_format ways '$status $upstream_status | $upstream_addr';
    access_log access.log ways;
    upstream semel {{ {servers}keepalive 64; }}
    server {{
        listen {listen} http2;
        location / {{
            mirror /nowhere;
            grpc_pass grpc://semel;
            grpc_connect_timeout 1s;
            grpc_read_timeout 300ms;
            grpc_next_upstream error timeout invalid_header http_502 http_503 http_504 non_idempotent;
            grpc_next_upstream_tries 3;
        }}
        location = /nowhere {{ internal; return 204; }}
    }}
}}
"
    )
}

/// The same with HAProxy, which takes in the whole body where it is told to. Its log has a line a call: the status, and how
/// often it was sent again (with a plus where another way was taken).
fn haproxy(listen: SocketAddr, upstreams: &[SocketAddr]) -> String {
    let servers: String =
        upstreams.iter().enumerate().map(|(at, to)| format!("    server way{at} {to} proto h2\n")).collect();
    format!(
        "global
    maxconn 4096
    log stdout format raw local0
defaults
    mode http
    log global
    log-format \"%ST %rc\"
    timeout connect 1s
    timeout client 30s
    timeout server 300ms
    retries 3
    option redispatch 1
    retry-on all-retryable-errors
frontend calls
    bind {listen} proto h2
    option http-buffer-request
    default_backend semel
backend semel
    balance roundrobin
{servers}"
    )
}
