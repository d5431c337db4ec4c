//! A wire between two programs that can be cut: what is on it then is held, nobody is told, and new connections lead nowhere.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::gateway::Outcome;

/// Bytes that are carried at once.
const PIECE: usize = 16 << 10;

/// One wire. Dropped, its connections end.
#[derive(Debug)]
pub struct Wire {
    here: SocketAddr,
    whole: watch::Sender<bool>,
    _carrying: JoinSet<()>,
}

// === impl Wire ===

impl Wire {
    /// From an address of its own to that one, `HOST:PORT`.
    pub async fn to(there: String) -> Outcome<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let here = listener.local_addr()?;
        let (whole, is_whole) = watch::channel(true);
        let mut carrying = JoinSet::new();
        carrying.spawn(accept(listener, there, is_whole));
        Ok(Self { here, whole, _carrying: carrying })
    }

    /// Where it begins.
    #[must_use]
    pub fn here(&self) -> String {
        self.here.to_string()
    }

    /// Nothing goes through any more.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Everything goes through again, also what was held.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn accept(listener: TcpListener, there: String, whole: watch::Receiver<bool>) {
    let mut open = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        open.spawn(carry(near, there.clone(), whole.clone()));
    }
}

async fn carry(near: TcpStream, there: String, mut whole: watch::Receiver<bool>) {
    if whole.wait_for(|whole| *whole).await.is_err() {
        return;
    }
    let Ok(far) = TcpStream::connect(there).await else { return };
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    // Either way ending ends both, as a program's end does.
    tokio::select! {
        () = one_way(near_in, far_out, whole.clone()) => {}
        () = one_way(far_in, near_out, whole) => {}
    }
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut whole: watch::Receiver<bool>,
) {
    let mut piece = vec![0; PIECE];
    loop {
        let Ok(length @ 1..) = from.read(&mut piece).await else { return };
        if whole.wait_for(|whole| *whole).await.is_err() {
            return;
        }
        if to.write_all(piece.get(..length).unwrap_or_default()).await.is_err() {
            return;
        }
    }
}
