//! Through real nginx, as a gRPC proxy that sends calls again which may have been executed: to a second way when the first
//! answers late, badly or not at all. Server and nginx are restarted meanwhile.

use std::{
    fs::File,
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
};

use semel_client::{Credentials, Options, v1};
use semel_faults::{Fault, Plan};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    sync::watch,
};

use super::{Answered, calls, fire, reckon, whole_machine};
use crate::e2e::{
    binary::{ServerProcess, signal, until},
    faults::proxy_to,
    harness::{in_time, job, spec},
};

/// How often a port that was free is asked for that may be taken by then.
const PORTS_MAX: usize = 8;

/// nginx, in the foreground, with a folder of its own. Killed when it is dropped.
struct Nginx {
    folder: PathBuf,
    address: SocketAddr,
    child: Child,
}

impl Nginx {
    /// Starts it before these upstreams, which are tried in turn. None if it is not installed.
    async fn start(folder: &Path, upstreams: &[SocketAddr]) -> Option<Self> {
        for _ in 0..PORTS_MAX {
            let free =
                TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
            std::fs::write(folder.join("nginx.conf"), configuration(free, upstreams)).expect("written");
            let child = match Self::spawn(folder) {
                Ok(child) => child,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
                Err(error) => panic!("nginx does not start: {error}"),
            };
            let mut nginx = Self { folder: folder.to_owned(), address: free, child };
            if nginx.serves().await {
                return Some(nginx);
            }
            assert!(nginx.said().contains("Address already in use"), "nginx has ended: {}", nginx.said());
        }
        panic!("no port was free {PORTS_MAX} times");
    }

    fn spawn(folder: &Path) -> io::Result<Child> {
        // Debian has it where only an administrator's shell looks.
        let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
        let log = || File::options().create(true).append(true).open(folder.join("error.log")).expect("a log");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf")).arg("-e").arg(folder.join("error.log"));
        command.env("PATH", path).stdin(Stdio::null()).stdout(log()).stderr(log()).kill_on_drop(true);
        command.spawn()
    }

    /// Waits until it takes connections; false if it has ended instead.
    async fn serves(&mut self) -> bool {
        until(async || {
            if self.child.try_wait().expect("the system knows").is_some() {
                return Some(false);
            }
            TcpStream::connect(self.address).await.is_ok().then_some(true)
        })
        .await
    }

    /// Ends it as a deployment does, and starts it on the same address.
    async fn restart(&mut self) {
        signal(&self.child, "TERM").await;
        in_time(self.child.wait()).await.expect("it ends");
        self.child = Self::spawn(&self.folder).expect("it was there before");
        assert!(self.serves().await, "nginx has ended: {}", self.said());
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.join("error.log")).unwrap_or_default()
    }

    /// How many calls it sent more than once: with this status to the caller, followed by those of the upstreams.
    fn repeated(&self, statuses: &str) -> usize {
        let log = std::fs::read_to_string(self.folder.join("access.log")).expect("a log");
        log.lines().filter(|line| line.starts_with(statuses) && line.contains(", ")).count()
    }
}

/// One process, one way in, several ways on; a call is sent on again after whatever goes wrong, executed or not.
///
/// Left to itself nginx passes on the body of a gRPC call as it comes, and then cannot send it again. The mirror, which
/// leads nowhere, makes it take in the whole body first.
fn configuration(listen: SocketAddr, upstreams: &[SocketAddr]) -> String {
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

/// Whether nginx may be missing; the gate says that it may not.
fn may_be_skipped() {
    let required = std::env::var("SEMEL_REQUIRE_NGINX").is_ok_and(|text| text == "1");
    assert!(!required, "nginx is not installed, and SEMEL_REQUIRE_NGINX=1");
    eprintln!("SKIPPED: nginx is not installed (Debian: apt-get install nginx-light)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_sends_calls_again_and_each_makes_one_run() {
    let _machine = whole_machine().await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = ServerProcess::start(folder.path(), &[]).await;
    let create = v1::CreateAppRequest { app: "pay".to_owned(), ..Default::default() };
    let secret = server.admin().create_app(create).await.expect("made").secret;
    job(&server.blunt("pay"), "settle", spec("p")).await;

    let direct: SocketAddr = server.address.parse().expect("an address");
    let plan = Plan::storm(7).with(Fault::LoseAnswer, 80).with(Fault::Delay, 20).with(Fault::StripCredentials, 0);
    let proxy = proxy_to(direct, plan).await;
    let prefix = tempfile::tempdir().expect("a folder");
    let Some(mut nginx) = Nginx::start(prefix.path(), &[proxy.address(), direct]).await else {
        return may_be_skipped();
    };

    let (calls, endpoint) = (calls(), format!("http://{}", nginx.address));
    let credentials = Credentials::Secret { app: "pay".to_owned(), secret };
    let options = || Options::new(&endpoint).app("pay").credentials(credentials.clone());
    let answers = watch::Sender::new(0);
    let restarts = async {
        super::answered(&answers, calls / 4).await;
        server.kill().await;
        server.start_again().await;
        super::answered(&answers, calls / 2).await;
        nginx.restart().await;
        super::answered(&answers, 3 * calls / 4).await;
        server.terminate().await;
        server.start_again().await;
    };
    let (answered, ()) = tokio::join!(fire(options, calls, &answers), restarts);
    proxy.send_kept().await;
    let (repeated, timed_out) = (nginx.repeated("200 "), nginx.repeated("200 504, 200"));
    let replayed = answered.iter().filter(|answer| answer.replayed).count();
    println!(
        "{calls} calls, nginx repeated {repeated}, after a time-out {timed_out}; {replayed} replayed, {}",
        proxy.counts().to_json()
    );
    reckon(&server.blunt("pay"), &answered, calls).await;
    // Half of the calls take the faulty way first, and of these at least one in ten is executed and not answered.
    assert!(repeated > calls / 50, "nginx sent only {repeated} calls again: this shows nothing");
    assert!(timed_out > 0, "nginx never sent a call again whose answer was only late");
    let arrived_again = |answer: &&Answered| answer.replayed && answer.arrivals > 1;
    assert!(answered.iter().filter(arrived_again).count() > calls / 50, "too few of them had been executed");
}
