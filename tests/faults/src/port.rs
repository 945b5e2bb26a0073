//! A port that nobody else gets.

use std::{io, net::SocketAddr};

use tokio::net::TcpSocket;

/// A port of the loopback that is the test's as long as this lives, whether anybody listens on it or not: who connects meanwhile
/// is refused, and a server that ends finds it free when it comes back. A port that was merely free a moment ago may be the
/// next caller's own end by now: the system gives them out from the same range.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    /// Bound, and never listened on. Those who do listen set `SO_REUSEADDR` too, as servers do, so Linux lets them; it gives
    /// the port to nobody who does not ask for it by its number.
    _held: Option<TcpSocket>,
}

impl Port {
    /// One that is free. Elsewhere than on Linux it is not held, but only known to have been free.
    ///
    /// # Errors
    /// When there is none.
    pub fn reserve() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Ok(Self { address: socket.local_addr()?, _held: cfg!(target_os = "linux").then_some(socket) })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn servers_come_and_go_on_it_and_between_them_nobody_is_there() {
        let port = Port::reserve().unwrap();
        for _ in 0..3 {
            let refused = TcpStream::connect(port.address()).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let listener = TcpListener::bind(port.address()).await.unwrap();
            TcpStream::connect(port.address()).await.unwrap();
            listener.accept().await.unwrap();
        }
    }
}
