//! The server of `semel dev`, and the example app on it. It owns the data directory: the store, the keys, the log, and
//! the file by which a person's shell gets the app's credentials. It never opens the server to other machines by itself.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use semel_client::{Client, Credentials, Options, v1};

use super::{Error, story::calling};
use crate::{
    auth,
    server::{self, Data, Running},
    store::MAP_SIZE_DEFAULT,
};

/// The name of the example app.
pub(super) const APP: &str = "example";
/// The log of everything in this process, in the data directory.
pub(super) const LOG_FILE: &str = "server.log";
/// What a shell sources, in the data directory.
pub(super) const ENV_FILE: &str = "dev.env";

const SECRET_LINE: &str = "export SEMEL_SECRET=";

/// A server that can be restarted.
pub(super) struct House {
    settings: server::Settings,
    data_dir: PathBuf,
    running: Option<Running>,
}

/// How the example app was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Created,
    Kept,
    Rotated,
}

impl House {
    /// Starts the server on a data directory, which is made if it is not there.
    pub(super) async fn open(data_dir: &Path, listen: SocketAddr) -> Result<Self, Error> {
        let data = Data::Directory { path: data_dir.to_owned(), map_size: MAP_SIZE_DEFAULT };
        let settings = server::Settings { listen, ..server::Settings::new(data) };
        let running = match server::start(settings.clone()).await {
            // Somebody else is there. Every line that is shown names the address that it became.
            Err(server::Error::Listen { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {
                let any = SocketAddr::from((listen.ip(), 0));
                server::start(server::Settings { listen: any, ..settings.clone() }).await?
            }
            started => started?,
        };
        // Whoever was told the address is to find it there after the restart too.
        let settings = server::Settings { listen: running.address(), ..settings };
        Ok(Self { settings, data_dir: data_dir.to_owned(), running: Some(running) })
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.settings.listen)
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Shuts the server down, closes its store, and starts another one on the same data.
    pub(super) async fn restart(&mut self) -> Result<(), Error> {
        self.close().await?;
        self.running = Some(server::start(self.settings.clone()).await?);
        Ok(())
    }

    /// Shuts the server down.
    pub(super) async fn close(&mut self) -> Result<(), Error> {
        match self.running.take() {
            Some(running) => Ok(running.shutdown().await?),
            None => Ok(()),
        }
    }

    /// Waits until the server fails by itself.
    pub(super) async fn failed(&self) -> Error {
        match &self.running {
            Some(running) => running.failed().await.into(),
            None => std::future::pending().await,
        }
    }

    /// The secret of the example app, which is made if it is not there; afterwards it stands in the file for shells.
    pub(super) async fn app(&self) -> Result<(String, Origin), Error> {
        let path = self.data_dir.join(server::ADMIN_SECRET_FILE);
        let admin = fs::read_to_string(&path).map_err(|source| Error::File { doing: "read", path, source })?;
        let admin = self.with_secret(admin.trim())?;
        let create = v1::CreateAppRequest {
            app: APP.to_owned(),
            description: "made by semel dev, to try things out".to_owned(),
            ..Default::default()
        };
        let (secret, origin) = match admin.create_app(create).await {
            Ok(answer) => (answer.secret, Origin::Created),
            Err(error) if error.reason() == Some("ALREADY_EXISTS") => self.known_app(&admin).await?,
            Err(error) => return Err(calling("create the example app")(error)),
        };
        self.write_env(&secret)?;
        Ok((secret, origin))
    }

    /// The app is there from an earlier start: its secret is in the file, unless somebody changed one of the two.
    async fn known_app(&self, admin: &Client) -> Result<(String, Origin), Error> {
        let kept = fs::read_to_string(self.env_path()).unwrap_or_default();
        if let Some(secret) = kept.lines().find_map(|line| line.strip_prefix(SECRET_LINE)) {
            let request = v1::GetAppRequest { app: APP.to_owned(), ..Default::default() };
            if self.with_secret(secret)?.get_app(request).await.is_ok() {
                return Ok((secret.to_owned(), Origin::Kept));
            }
        }
        let request = v1::RotateAppSecretRequest { app: APP.to_owned(), ..Default::default() };
        let answer =
            admin.rotate_app_secret(request).await.map_err(calling("make a new secret for the example app"))?;
        Ok((answer.secret, Origin::Rotated))
    }

    fn with_secret(&self, secret: &str) -> Result<Client, Error> {
        let options = Options::new(self.endpoint()).credentials(Credentials::Bearer(secret.to_owned()));
        Client::connect_lazy(options).map_err(calling("set up a client"))
    }

    pub(super) fn env_path(&self) -> PathBuf {
        self.data_dir.join(ENV_FILE)
    }

    fn write_env(&self, secret: &str) -> Result<(), Error> {
        let text = format!("export SEMEL_SERVER={}\nexport SEMEL_APP={APP}\n{SECRET_LINE}{secret}\n", self.endpoint());
        let path = self.env_path();
        auth::write_owner_only(&path, text.as_bytes()).map_err(|source| Error::File { doing: "write", path, source })
    }
}

/// A client of the example app. It gets tokens for the secret by itself. To be made in the runtime that it is used in.
pub(super) fn client(endpoint: &str, secret: &str) -> Result<Client, semel_client::Error> {
    let credentials = Credentials::Secret { app: APP.to_owned(), secret: secret.to_owned() };
    Client::connect_lazy(Options::new(endpoint).app(APP).credentials(credentials).client_name("semel-dev"))
}

/// Makes the data directory, for its owner only, and sends what this process logs into a file there. A program that has
/// a place for its log already keeps it.
pub(super) fn prepare(data_dir: &Path) -> Result<(), Error> {
    let file = || -> io::Result<fs::File> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(data_dir)?;
        fs::OpenOptions::new().create(true).append(true).open(data_dir.join(LOG_FILE))
    };
    let file = file().map_err(|source| Error::File { doing: "write to", path: data_dir.to_owned(), source })?;
    let subscriber =
        tracing_subscriber::fmt().with_env_filter("info").with_ansi(false).with_writer(std::sync::Mutex::new(file));
    // It fails where a subscriber is set already.
    let _ = tracing_subscriber::util::SubscriberInitExt::try_init(subscriber);
    Ok(())
}
