//! A port that stays ours while the program that listens on it is away.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A port, on 127.0.0.1 unless something else is said, that the system chose. It is bound here and never listens: whoever connects is refused, nobody else
/// is given it, and a program of ours that names it may listen, because both sides say `SO_REUSEADDR`.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    _held: TcpSocket,
}

impl Port {
    /// One that nobody has.
    pub fn take() -> io::Result<Self> {
        Self::take_at(Ipv4Addr::LOCALHOST.into())
    }

    /// The same at another address of this machine.
    pub fn take_at(at: IpAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((at, 0).into())?;
        Ok(Self { address: socket.local_addr()?, _held: socket })
    }

    /// The same number at an address of another network, where it is as free as here: nobody else is there.
    #[must_use]
    pub(super) fn elsewhere(mut self, at: IpAddr) -> Self {
        self.address.set_ip(at);
        self
    }

    /// `127.0.0.1:PORT`, or at the address that it was taken for.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_port_is_refused_then_listened_on_then_refused_again() {
        let port = Port::take().unwrap();
        for _ in 0..2 {
            TcpStream::connect(port.address).unwrap_err();
            let listener = TcpListener::bind(port.address).unwrap();
            let caller = TcpStream::connect(port.address).unwrap();
            drop((listener.accept().unwrap(), listener, caller));
        }
    }
}
