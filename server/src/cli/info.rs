//! `semel info`: what a server says of itself.

use semel_proto::v1::GetServerInfoRequest;

use super::{
    failure::{Done, Failure},
    session::Session,
};

/// How far two clocks may be apart before it is worth a word.
const SKEW_MS_SHOWN: u64 = 5_000;

pub(crate) async fn run(session: &Session) -> Result<Done, Failure> {
    session.show(&session.read(GetServerInfoRequest::default()).await?)?;
    let offset = session.client().await?.clock_offset_ms();
    if offset.unsigned_abs() > SKEW_MS_SHOWN {
        let side = if offset > 0 { "ahead of" } else { "behind" };
        session.remark(&format!("its clock is {} s {side} this machine's", offset.unsigned_abs() / 1000));
    }
    Ok(Done::OK)
}
