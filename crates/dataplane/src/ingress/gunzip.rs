//! A gzip body, decoded within bounds: it stops while it inflates, so that a bomb costs no more than the limit.

use crate::refusal::Refusal;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use std::io::Read;

/// How many times larger than itself a body may become, once past `RATIO_FLOOR`.
const RATIO: usize = 100;
/// Below it any ratio is fine: a few kilobytes of blanks are no bomb.
const RATIO_FLOOR: usize = 1 << 20;
const STEP: usize = 64 * 1024;

/// # Errors
/// Not gzip, larger than `limit`, or inflating beyond the ratio.
pub(super) fn gunzip(body: &[u8], limit: usize) -> Result<Bytes, Refusal> {
    let bound = limit.min(body.len().saturating_mul(RATIO).max(RATIO_FLOOR));
    let mut decoder = MultiGzDecoder::new(body);
    let mut plain = Vec::new();
    let mut step = vec![0; STEP];
    loop {
        let read = decoder
            .read(&mut step)
            .map_err(|_| Refusal::invalid("the body is not gzip", "bad_encoding", None))?;
        let Some(piece) = step.get(..read).filter(|piece| !piece.is_empty()) else { break };
        if plain.len() + piece.len() > bound {
            return Err(Refusal::too_large(limit, Some("decompressed_too_large")));
        }
        plain.extend_from_slice(piece);
    }
    Ok(plain.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn whole_bodies_and_bombs() {
        assert_eq!(gunzip(&gzip(b"{\"a\":1}"), 1 << 20).unwrap(), "{\"a\":1}");
        let bomb = gzip(&vec![b' '; 64 << 20]);
        let refusal = gunzip(&bomb, 32 << 20).unwrap_err();
        assert_eq!((refusal.0.status, refusal.0.reason), (413, Some("decompressed_too_large")));
        assert_eq!(gunzip(b"plain", 1 << 20).unwrap_err().0.status, 400);
        assert_eq!(gunzip(&gzip(b"cut short")[..12], 1 << 20).unwrap_err().0.status, 400);
    }
}
