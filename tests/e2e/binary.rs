//! The binary `semel` as processes of its own: found beside the test, built when it is not there or older, started,
//! paused and killed. Holds no assertion about behaviour.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::OnceLock,
    time::Duration,
};

use semel_client::{Client, Credentials, Options, RetryOptions};
use semel_faults::Port;
use tokio::process::{Child, Command};

use super::harness::in_time;

/// How often a condition is looked at that tells nobody when it comes true.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Waits for a condition of another process: a file, a state. Bounded.
pub(crate) async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            match look().await {
                Some(found) => return found,
                None => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    };
    in_time(looking).await
}

/// Lets other processes go on for so long: where they are by then is what a crash test leaves open.
pub(crate) async fn some_moment(later: Duration) {
    tokio::time::sleep(later).await;
}

/// The path of the binary, as new as this test.
pub(crate) fn semel() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().expect("this test has a path");
        let folder = test.ancestors().nth(2).expect("target/<profile>/deps/<test>").to_owned();
        let binary = folder.join(format!("semel{}", std::env::consts::EXE_SUFFIX));
        let age = |path: &Path| std::fs::metadata(path).and_then(|found| found.modified()).ok();
        if age(&binary).is_none_or(|built| age(&test).is_some_and(|test| built < test)) {
            build(&folder);
        }
        assert!(binary.exists(), "cargo has built no {}", binary.display());
        binary
    })
}

fn build(folder: &Path) {
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        None | Some("debug") => "dev".to_owned(),
        Some(profile) => profile.to_owned(),
    };
    let mut cargo = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "-p", "semel-server", "--bin", "semel", "--profile", &profile]);
    cargo.arg("--target-dir").arg(folder.parent().expect("target/<profile>")).current_dir(env!("CARGO_MANIFEST_DIR"));
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "the binary semel cannot be built: {status}");
}

/// A server in a process of its own, on a data directory that outlives it.
pub(crate) struct ServerProcess {
    folder: PathBuf,
    /// May be changed while it does not run.
    pub(crate) environment: Vec<(String, String)>,
    /// What is put before the command.
    pub(crate) inside: Vec<String>,
    /// Where the data directory is seen, if it is not where the server sees it.
    pub(crate) data_seen: Option<PathBuf>,
    /// So that it is found again where it was, whoever looks for a port meanwhile.
    port: Port,
    child: Option<Child>,
}

impl ServerProcess {
    /// Starts one in a folder, with settings given by the environment; comes back when it serves.
    pub(crate) async fn start(folder: &Path, environment: &[(&str, &str)]) -> Self {
        let mut server = Self::start_nothing(folder);
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        server.environment = environment.collect();
        server.start_again().await;
        server
    }

    /// One that is not started yet.
    pub(crate) fn start_nothing(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            environment: Vec::new(),
            inside: Vec::new(),
            data_seen: None,
            port: Port::reserve().expect("a free port"),
            child: None,
        }
    }

    /// Starts it on the address that it had.
    pub(crate) async fn start_again(&mut self) {
        self.spawn();
        let ready = self.folder.join("ready");
        let text = until(async || {
            let child = self.child.as_mut().expect("it was just started");
            if let Some(status) = child.try_wait().expect("the system knows") {
                panic!("the server has ended: {status}: {}", self.said());
            }
            std::fs::read_to_string(&ready).ok()
        });
        let said: serde_json::Value = serde_json::from_str(&text.await).expect("JSON");
        assert_eq!(said["address"], self.address().to_string(), "it is where it was told to be");
    }

    /// Starts it and does not wait.
    pub(crate) fn spawn(&mut self) {
        let _ = std::fs::remove_file(self.folder.join("ready"));
        let mut command = match self.inside.split_first() {
            None => Command::new(semel()),
            Some((first, others)) => {
                let mut command = Command::new(first);
                command.args(others).arg(semel());
                command
            }
        };
        command.args(["serve", "--listen", &self.address().to_string()]).arg("--data-dir").arg(self.data());
        command.arg("--ready-file").arg(self.folder.join("ready")).current_dir(&self.folder);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let log = File::options().create(true).append(true).open(self.folder.join("server.log")).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        self.child = Some(command.spawn().expect("the server starts"));
    }

    /// Where it listens when it runs, in all its lives.
    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).expect("it runs")
    }

    /// Waits until it ends by itself, and gives its exit code.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it was started");
        in_time(child.wait()).await.expect("it ends").code()
    }

    /// What it has said on standard error, in all its lives.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn secret_file(&self) -> PathBuf {
        self.data_seen.clone().unwrap_or_else(|| self.data()).join("admin-secret")
    }

    /// As `kill -9` does.
    pub(crate) async fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().await.expect("it is killed");
    }

    /// Sends it a signal.
    pub(crate) async fn signal(&self, name: &str) {
        signal(self.child.as_ref().expect("it runs"), name).await;
    }

    /// Asks it to stop; gives its status.
    pub(crate) async fn terminate(&mut self) -> std::process::ExitStatus {
        let mut child = self.child.take().expect("it runs");
        signal(&child, "TERM").await;
        in_time(child.wait()).await.expect("it ends")
    }

    pub(crate) fn options(&self) -> Options {
        Options::new(format!("http://{}", self.address()))
    }

    /// A client of the admin that retries.
    pub(crate) fn admin(&self) -> Client {
        Client::connect_lazy(self.options().credentials(self.credentials())).expect("options")
    }

    /// A client of the admin that takes the first word.
    pub(crate) fn blunt(&self, app: &str) -> Client {
        let options = self.options().app(app).credentials(self.credentials()).retry(RetryOptions::none());
        Client::connect_lazy(options).expect("options")
    }

    pub(crate) fn credentials(&self) -> Credentials {
        let secret = std::fs::read_to_string(self.secret_file()).expect("the admin's secret");
        Credentials::Bearer(secret.trim_end().to_owned())
    }

    /// Runs a command of the binary as the admin, with `-o json`.
    pub(crate) async fn json(&self, arguments: &[&str]) -> (i32, serde_json::Value) {
        let output = self.run(&[&["-o", "json"], arguments].concat()).await;
        let text = String::from_utf8(output.stdout).expect("text");
        let value = serde_json::from_str(&text).unwrap_or_else(|error| {
            let said = String::from_utf8_lossy(&output.stderr);
            panic!("{arguments:?} prints no JSON ({error}): {text:?}, and says {said}");
        });
        (output.status.code().expect("a code"), value)
    }

    /// Runs a command of the binary as the admin.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        command.env("SEMEL_SECRET_FILE", self.secret_file());
        in_time(command.output()).await.expect("it runs")
    }

    /// A command of the binary that knows the server and has no credentials.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(semel());
        command.args(arguments).env("SEMEL_SERVER", format!("http://{}", self.address())).env("NO_COLOR", "1");
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        command
    }

    /// A worker process for an app, which may start `/bin/sh -c`.
    pub(crate) fn worker(&self, app: &str, name: &str) -> Child {
        let arguments = ["worker", "--app", app, "--name", name, "--exec-allow", "/bin/sh -c", "--drain-timeout", "1s"];
        let mut command = self.command(&arguments);
        command.env("SEMEL_SECRET_FILE", self.secret_file());
        let log = File::create(self.folder.join(format!("{name}.log"))).expect("a log");
        command.stdout(Stdio::null()).stderr(log).spawn().expect("the worker starts")
    }
}

/// Sends a signal to a process.
pub(crate) async fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("it runs").to_string();
    let sent = Command::new("/bin/sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid]).status().await;
    assert!(sent.expect("a shell").success(), "cannot send {name} to {pid}");
}
