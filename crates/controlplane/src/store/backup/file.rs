//! The form of a backup: magic with format, then files (1, path length, path, length, bytes), then 0 and a BLAKE3 of all
//! before it. Numbers are little-endian. Reads and writes in one pass.

use crate::store::{StoreError, documents::Hash};
use std::io::{self, Read, Write};

const MAGIC: &[u8; 8] = b"KWBACK\0\x01";
const FILE: u8 = 1;
const END: u8 = 0;
/// Bytes of a path.
const PATH_LIMIT: usize = 1024;
/// Files in one backup.
const FILES_LIMIT: u64 = 1_000_000;
/// Bytes that are moved at once.
const CHUNK: usize = 256 << 10;

/// Writes one.
#[derive(Debug)]
pub(super) struct Packer<W> {
    out: W,
    hasher: blake3::Hasher,
    files: u64,
    bytes: u64,
}

/// Reads one.
#[derive(Debug)]
pub(super) struct Unpacker<R> {
    from: R,
    hasher: blake3::Hasher,
    files: u64,
    bytes: u64,
}

/// The bytes of one file in it.
#[derive(Debug)]
pub(super) struct Contents<'a, R> {
    from: &'a mut Unpacker<R>,
    left: u64,
}

fn not_written(error: io::Error) -> StoreError {
    StoreError::Unusable(format!("the backup cannot be written: {error}"))
}

pub(super) fn not_read(error: io::Error) -> StoreError {
    StoreError::BadBackup(match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is cut short".to_owned(),
        _ => error.to_string(),
    })
}

// === impl Packer ===

impl<W: Write> Packer<W> {
    pub(super) fn begin(out: W) -> Result<Self, StoreError> {
        let mut packer = Self { out, hasher: blake3::Hasher::new(), files: 0, bytes: 0 };
        packer.put(MAGIC)?;
        Ok(packer)
    }

    /// Adds a file of exactly that length.
    pub(super) fn add(&mut self, path: &str, length: u64, mut from: impl Read) -> Result<(), StoreError> {
        let name = u16::try_from(path.len()).ok().filter(|bytes| usize::from(*bytes) <= PATH_LIMIT);
        let name = name.ok_or_else(|| StoreError::Unusable(format!("{path} is too long a path")))?;
        self.put(&[FILE])?;
        self.put(&name.to_le_bytes())?;
        self.put(path.as_bytes())?;
        self.put(&length.to_le_bytes())?;
        let (mut left, mut chunk) = (length, vec![0; CHUNK]);
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let read = from.read(chunk.get_mut(..wanted).unwrap_or_default()).map_err(not_written)?;
            if read == 0 {
                return Err(StoreError::Unusable(format!("{path} became shorter while it was read")));
            }
            self.put(chunk.get(..read).unwrap_or_default())?;
            left -= read as u64;
        }
        self.files += 1;
        self.bytes += length;
        Ok(())
    }

    /// Closes it: files and bytes in it.
    pub(super) fn end(mut self) -> Result<(u64, u64), StoreError> {
        self.put(&[END])?;
        let trailer = self.hasher.finalize();
        self.out.write_all(trailer.as_bytes()).and_then(|()| self.out.flush()).map_err(not_written)?;
        Ok((self.files, self.bytes))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.hasher.update(bytes);
        self.out.write_all(bytes).map_err(not_written)
    }
}

// === impl Unpacker ===

impl<R: Read> Unpacker<R> {
    pub(super) fn begin(from: R) -> Result<Self, StoreError> {
        let mut unpacker = Self { from, hasher: blake3::Hasher::new(), files: 0, bytes: 0 };
        if unpacker.array()? != *MAGIC {
            return Err(StoreError::BadBackup(
                "it is no backup of a format that this version knows".to_owned(),
            ));
        }
        Ok(unpacker)
    }

    /// The next file's path and length; its contents have to be read before the next. `None` = that was the last.
    pub(super) fn next_file(&mut self) -> Result<Option<(String, u64)>, StoreError> {
        match self.array()? {
            [END] => return Ok(None),
            [FILE] if self.files < FILES_LIMIT => {}
            _ => return Err(StoreError::BadBackup("a file begins where none can".to_owned())),
        }
        let name = usize::from(u16::from_le_bytes(self.array()?));
        if name > PATH_LIMIT {
            return Err(StoreError::BadBackup("a path in it is too long".to_owned()));
        }
        let mut path = vec![0; name];
        self.fill(&mut path)?;
        let path = String::from_utf8(path).ok().filter(|path| is_plain(path));
        let path =
            path.ok_or_else(|| StoreError::BadBackup("it holds a path that leads elsewhere".to_owned()))?;
        let length = u64::from_le_bytes(self.array()?);
        self.files += 1;
        self.bytes = self.bytes.saturating_add(length);
        Ok(Some((path, length)))
    }

    pub(super) fn contents(&mut self, length: u64) -> Contents<'_, R> {
        Contents { from: self, left: length }
    }

    /// Checks the hash over all: files and bytes in it.
    pub(super) fn end(mut self) -> Result<(u64, u64), StoreError> {
        let computed = self.hasher.finalize();
        let mut trailer: Hash = [0; 32];
        self.from.read_exact(&mut trailer).map_err(not_read)?;
        if computed != trailer {
            return Err(StoreError::BadBackup("its bytes are not those that were written".to_owned()));
        }
        if self.from.read(&mut [0]).map_err(not_read)? > 0 {
            return Err(StoreError::BadBackup("something stands after its end".to_owned()));
        }
        Ok((self.files, self.bytes))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.from.read_exact(bytes).map_err(not_read)?;
        self.hasher.update(bytes);
        Ok(())
    }
}

/// Only names below where it is unpacked.
fn is_plain(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\0', '\\'])
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

// === impl Contents ===

impl<R: Read> Contents<'_, R> {
    /// Reads what was left unread.
    pub(super) fn skip(&mut self) -> Result<(), StoreError> {
        io::copy(self, &mut io::sink()).map(|_bytes| ()).map_err(not_read)
    }
}

impl<R: Read> Read for Contents<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let Some(into) = into.get_mut(..wanted).filter(|into| !into.is_empty()) else { return Ok(0) };
        let read = self.from.from.read(into)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.from.hasher.update(into.get(..read).unwrap_or_default());
        self.left -= read as u64;
        Ok(read)
    }
}
