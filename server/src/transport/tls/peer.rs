//! What a certificate says of whoever is at the other end of a connection.

use semel_core::id::Timestamp;
use tokio::net::TcpStream;
use tokio_rustls::{rustls::pki_types::CertificateDer, server::TlsStream};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

use crate::auth::Certificate;

/// The certificate that the other end has shown, and that one of our authorities has signed.
pub(in crate::transport) fn certificate_of(stream: &TlsStream<TcpStream>) -> Option<Certificate> {
    // Only what the verifier has passed is there.
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    shown.map(read)
}

/// What a certificate says of its bearer.
fn read(der: &CertificateDer<'_>) -> Certificate {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        // Nothing can be known of it.
        return Certificate::new(Vec::new(), Timestamp(0));
    };
    let names = certificate.subject_alternative_name().ok().flatten();
    let uris = names.into_iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    });
    let end = certificate.validity().not_after.timestamp().saturating_mul(1000);
    Certificate::new(uris.collect(), Timestamp(end))
}
