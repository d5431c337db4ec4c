//! How a replica gets what it needs from its parent: one line of JSON and, beside it, the listening socket, over the
//! Unix socket that is the child's stdin. Nothing secret stands in arguments or environment.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use keyway_config::Secret;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::command::secret::exposed;
use crate::command::up::settings::Serving;

/// Bytes of the line at most.
const LINE_LIMIT: usize = 64 * 1024;

/// What a replica is told.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Orders {
    /// Of the fleet stream, `https://HOST:PORT`.
    pub(crate) fleet_url: String,
    /// What it shows there, as text; empty = nothing: it serves what it keeps.
    #[serde(serialize_with = "exposed")]
    pub(crate) identity: Secret,
    /// Unique among all replicas that ever were.
    pub(crate) id: String,
    /// Where it keeps its last good state; its own.
    pub(crate) state_dir: PathBuf,
    pub(crate) serving: Serving,
}

/// Sends orders and socket. The line is far below what a socket buffers, so this does not wait for the reader.
pub(crate) fn send(stream: &UnixStream, orders: &Orders, listener: &TcpListener) -> io::Result<()> {
    let mut line = Zeroizing::new(serde_json::to_vec(orders).map_err(io::Error::other)?);
    line.push(b'\n');
    if line.len() > LINE_LIMIT {
        return Err(io::Error::other("the orders for a replica are too long"));
    }
    let sockets = [listener.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !beside.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(io::Error::other("the socket does not fit beside the orders"));
    }
    let mut sent = rustix::net::sendmsg(stream, &[IoSlice::new(&line)], &mut beside, SendFlags::NOSIGNAL)?;
    while let Some(rest) = line.get(sent..).filter(|rest| !rest.is_empty()) {
        sent += rustix::net::send(stream, rest, SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

/// Waits for orders and socket.
pub(crate) fn receive(stream: &UnixStream) -> io::Result<(Orders, TcpListener)> {
    let mut line = Zeroizing::new(Vec::new());
    let mut buffer = Zeroizing::new([0_u8; 4096]);
    let mut socket = None;
    while line.last() != Some(&b'\n') {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let slices = &mut [IoSliceMut::new(buffer.as_mut_slice())];
        let got = rustix::net::recvmsg(stream, slices, &mut beside, RecvFlags::CMSG_CLOEXEC)?;
        socket = beside.drain().find_map(first_socket).or(socket);
        line.extend_from_slice(buffer.get(..got.bytes).unwrap_or_default());
        if got.bytes == 0 || line.len() > LINE_LIMIT {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    // The parser's words may repeat what it read, and that holds a token.
    let orders = serde_json::from_slice(&line).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let socket = socket.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    Ok((orders, TcpListener::from(socket)))
}

fn first_socket(message: RecvAncillaryMessage<'_>) -> Option<OwnedFd> {
    match message {
        RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
        _ => None,
    }
}
