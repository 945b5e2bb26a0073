//! TLS on the callers' listener: what it is set up with, and who the other end has proved to be.
//!
//! ```text
//! files ─▶ load ─▶ current ServerConfig ◀─ reload, when the files change
//! ```

mod load;
mod peer;
mod reload;

use std::{path::PathBuf, time::Duration};

pub(super) use self::peer::certificate_of;
pub(crate) use self::reload::Reloaded;
pub use self::{load::Error, load::check};

/// Whether callers show a certificate of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked for one.
    Off,
    /// They are asked, and may come without; one that they show must be good.
    #[default]
    Optional,
    /// Nobody comes in without.
    Required,
}

/// What TLS is set up with. All files are PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The server's certificate, with the chain to its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities of callers' certificates, and whether callers must have one; none if they are not asked.
    pub clients: Option<(PathBuf, ClientAuth)>,
    /// How often the files are looked at.
    pub look_every: Duration,
}

/// How often the files are looked at by default: a certificate is renewed hours before its end.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
