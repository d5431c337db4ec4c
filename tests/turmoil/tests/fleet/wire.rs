//! Messages over a simulated connection: a length, then the bytes that gRPC would carry.

use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};
use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Messages that wait for whoever reads.
const INBOX: usize = 64;

pub(crate) async fn send(to: &mut OwnedWriteHalf, bytes: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(bytes.len()).unwrap();
    to.write_all(&[&length.to_be_bytes(), bytes].concat()).await
}

/// Everything that comes, until the connection ends; a half-read message is never lost to whoever waits for several things.
pub(crate) fn inbox<M: Message + Default + 'static>(mut from: OwnedReadHalf) -> mpsc::Receiver<M> {
    let (put, inbox) = mpsc::channel(INBOX);
    tokio::task::spawn_local(async move {
        loop {
            let Ok(length) = from.read_u32().await else { return };
            let mut bytes = vec![0; length as usize];
            if from.read_exact(&mut bytes).await.is_err() {
                return;
            }
            if put.send(M::decode(&*bytes).unwrap()).await.is_err() {
                return;
            }
        }
    });
    inbox
}
