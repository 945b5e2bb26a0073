//! The access log and the audit log of a server, through real sockets and real files.

mod access;
mod audit;
mod command;
mod crash;
mod pages;

use std::{
    fs,
    path::{Path, PathBuf},
};

use semel_server::{
    logs::{
        access::Target,
        audit::{Kind, Line, Lines, read},
    },
    server::{Data, Settings},
};
use serde_json::Value;

use super::{
    binary::until,
    harness::TestServer,
    wire::{PayByWire, Wire},
};

/// A server whose data is in a folder, with an access log beside it.
struct Logged {
    folder: tempfile::TempDir,
    pay: PayByWire,
}

impl Logged {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let server = TestServer::with(|settings| {
            settings.data = Data::Directory { path: folder.path().join("data"), map_size: 1 << 30 };
            settings.access_log = Some(Target::File(folder.path().join("access.log")));
            change(settings);
        });
        Self { pay: PayByWire::on(server.await).await, folder }
    }

    fn access(&self) -> PathBuf {
        self.folder.path().join("access.log")
    }

    fn audit(&self) -> PathBuf {
        audit_of(&self.folder.path().join("data"))
    }

    /// The first line of the access log that is meant, once it is there.
    async fn call(&self, is_meant: impl Fn(&Value) -> bool) -> Value {
        until(async || access_lines(&self.access()).into_iter().find(|line| is_meant(line))).await
    }

    /// So many lines of the audit log that are meant, once they are there.
    async fn told(&self, count: usize, is_meant: impl Fn(&Line) -> bool) -> Vec<Line> {
        told(&self.audit(), count, is_meant).await
    }

    async fn stop(&mut self) {
        self.pay.server.running.take().expect("it runs").shutdown().await.expect("a clean end");
    }
}

fn audit_of(data: &Path) -> PathBuf {
    data.join("audit")
}

/// What stands in an access log, line by line; the last one may be on its way.
fn access_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// What stands in an audit log.
fn audit_lines(folder: &Path) -> Vec<Line> {
    let mut lines = Lines::new(folder);
    let found = std::iter::from_fn(|| lines.next_whole().expect("it can be read"));
    found.filter_map(|found| read(&found).ok()).collect()
}

async fn told(folder: &Path, count: usize, is_meant: impl Fn(&Line) -> bool) -> Vec<Line> {
    until(async || {
        let lines: Vec<Line> = audit_lines(folder).into_iter().filter(|line| is_meant(line)).collect();
        assert!(lines.len() <= count, "{lines:#?}");
        (lines.len() == count).then_some(lines)
    })
    .await
}

/// Whether a line tells of this request.
fn is_of(id: &str) -> impl Fn(&Line) -> bool {
    move |line| line.request_id.as_deref() == Some(id)
}

/// The text of all files of a folder.
fn all_text(folder: &Path) -> String {
    let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("it is there").path());
    files.map(|path| fs::read_to_string(path).expect("text")).collect()
}

/// The mutations among lines, with how each was disposed of.
fn mutations(lines: &[Line]) -> Vec<(&str, &str)> {
    let of = lines.iter().filter(|line| line.kind == Kind::Mutation);
    of.map(|line| (line.rpc_method.as_deref().unwrap_or(""), line.disposition.as_deref().unwrap_or(""))).collect()
}

/// A wire of another app.
async fn shop(pay: &PayByWire) -> Wire {
    let create = semel_client::v1::CreateAppRequest { app: "shop".to_owned(), ..Default::default() };
    let secret = pay.admin.served(&super::wire::fresh(), create).await.secret;
    pay.nobody.bearer(&secret)
}
