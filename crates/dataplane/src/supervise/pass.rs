//! How a process gets what it needs from the one that starts it: one line of JSON and, beside it, open files, over a Unix
//! socket that is its stdin. Nothing secret stands in arguments or environment.
//!
//! Parent and child may be of two versions: unknown fields are passed over, and a new field has a default.

use super::Serving;
use keyway_snapshot::Secret;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};
use zeroize::Zeroizing;

/// Bytes of the line at most; a Unix socket buffers more.
const LINE_LIMIT: usize = 128 * 1024;
/// Open files that Linux passes in one message.
const FILES: usize = 253;

/// What a replica is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Orders {
    /// Of the fleet stream, `https://HOST:PORT`.
    pub(super) fleet_url: String,
    /// What is shown there, as text; empty = nothing: it serves what it keeps.
    #[serde(with = "text", default = "nothing")]
    pub(super) identity: Secret,
    /// The same in every life: a new process under an old name proves that the one before is gone.
    pub(super) id: String,
    /// Who reaps it.
    pub(super) supervisor: String,
    pub(super) host: String,
    /// Where it keeps its last good state; its own. Absent = nowhere.
    pub(super) state_dir: Option<PathBuf>,
    /// Serving threads.
    pub(super) threads: usize,
    /// So long callers are left to others, until it has a state.
    #[serde(default)]
    pub(super) hold_back: Duration,
    pub(super) serving: Serving,
}

fn nothing() -> Secret {
    Secret::new(Vec::new())
}

/// A secret as the text that it is, for this one socket.
mod text {
    use keyway_snapshot::Secret;
    use serde::{Deserialize, Deserializer, Serializer, ser::Error};

    pub(super) fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        let text =
            std::str::from_utf8(secret.expose()).map_err(|_| S::Error::custom("a token that is no text"))?;
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(|text| Secret::new(text.into_bytes()))
    }
}

/// Sends a line and open files. The line is below what a socket buffers, so this does not wait for the reader.
pub(super) fn send(stream: &UnixStream, told: &impl Serialize, files: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut line = Zeroizing::new(serde_json::to_vec(told).map_err(io::Error::other)?);
    line.push(b'\n');
    if line.len() > LINE_LIMIT {
        return Err(io::Error::other("the orders for a process are too long"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !beside.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::Error::other("the open files do not fit beside the orders"));
    }
    let mut sent = rustix::net::sendmsg(stream, &[IoSlice::new(&line)], &mut beside, SendFlags::NOSIGNAL)?;
    while let Some(rest) = line.get(sent..).filter(|rest| !rest.is_empty()) {
        sent += rustix::net::send(stream, rest, SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

/// Waits for a line and open files.
pub(super) fn receive<T: DeserializeOwned>(stream: &UnixStream) -> io::Result<(T, Vec<OwnedFd>)> {
    let mut line = Zeroizing::new(Vec::new());
    let mut buffer = Zeroizing::new([0_u8; 4096]);
    let mut files = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let slices = &mut [IoSliceMut::new(buffer.as_mut_slice())];
        let got = rustix::net::recvmsg(stream, slices, &mut beside, RecvFlags::CMSG_CLOEXEC)?;
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = message {
                files.extend(more);
            }
        }
        line.extend_from_slice(buffer.get(..got.bytes).unwrap_or_default());
        if got.bytes == 0 || line.len() > LINE_LIMIT {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    // The parser's words may repeat what it read, and that holds a token.
    let told = serde_json::from_slice(&line).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok((told, files))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        os::fd::AsFd,
    };

    #[test]
    fn orders_and_a_listening_socket_reach_the_other_end() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let orders = Orders {
            fleet_url: "https://127.0.0.1:1".into(),
            identity: Secret::new(vec![b't'; 10_000]),
            id: "h~1".into(),
            supervisor: "h".into(),
            host: "machine".into(),
            state_dir: Some("/nowhere".into()),
            threads: 2,
            hold_back: Duration::ZERO,
            serving: Serving { grace: Duration::from_secs(3), log: "warn".into(), ..Serving::default() },
        };
        assert!(!format!("{orders:?}").contains("tttt"));
        send(&ours, &orders, &[listener.as_fd()]).unwrap();
        drop(listener);
        let (got, files) = receive::<Orders>(&theirs).unwrap();
        assert_eq!((got.id.as_str(), got.identity.expose().len(), files.len()), ("h~1", 10_000, 1));
        let socket = TcpListener::from(files.into_iter().next().unwrap());
        let mut caller = TcpStream::connect(address).expect("somebody still listens");
        caller.write_all(b"x").unwrap();
        let mut byte = [0];
        socket.accept().unwrap().0.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        drop(ours);
        assert!(receive::<Orders>(&theirs).is_err());
    }

    #[test]
    fn orders_of_another_version_are_read() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let told = serde_json::json!({
            "fleet_url": "u", "fleet_token": "t", "id": "i", "supervisor": "s", "host": "h", "state_dir": null, "threads": 1,
            "serving": { "grace": { "secs": 1, "nanos": 0 }, "of_a_later_version": [1] }, "another": true,
        });
        send(&ours, &told, &[]).unwrap();
        let (got, files) = receive::<Orders>(&theirs).unwrap();
        assert_eq!((got.serving.grace, files.len()), (Duration::from_secs(1), 0));
    }
}
