//! The only reader of request bodies: whole, bounded by the limit for one and by the budget for all.

use super::gunzip::gunzip;
use crate::{pressure::Pressure, refusal::Refusal, within::within};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// A body that brings nothing for this long is given up.
const IDLE: Duration = Duration::from_secs(30);
/// What is set aside for a body before its length is known to be real.
const FIRST_CAPACITY: usize = 64 * 1024;

/// A body of more is large: the first to be refused where memory is scarce.
const LARGE: usize = FIRST_CAPACITY;

/// Bytes of request bodies that all cores hold together, and how scarce memory is.
#[derive(Debug, Default)]
pub(crate) struct BodyBudget {
    bytes: AtomicUsize,
    pressure: AtomicU8,
    scarce: Notify,
}

/// A body's share of the budget.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Arc<BodyBudget>,
    bytes: usize,
    limit: usize,
}

// === impl BodyBudget ===

impl BodyBudget {
    /// Bytes that are held now.
    pub(crate) fn held(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// From now on this has to go; told with each look at memory.
    pub(crate) fn press(&self, pressure: Pressure) {
        self.pressure.store(pressure as u8, Relaxed);
        if pressure.is_scarce() {
            self.scarce.notify_waiters();
        }
    }

    /// Until memory is looked at and found scarce.
    pub(crate) async fn scarce(&self) {
        self.scarce.notified().await;
    }

    /// What has to go.
    pub(crate) fn pressure(&self) -> Pressure {
        Pressure::read(self.pressure.load(Relaxed))
    }

    /// Whether memory has room for a body of that size.
    fn allows(&self, bytes: usize) -> Result<(), Refusal> {
        match self.pressure() {
            Pressure::Large if bytes > LARGE => Err(Refusal::overloaded("memory")),
            Pressure::All => Err(Refusal::overloaded("memory")),
            Pressure::None | Pressure::Rest | Pressure::Large => Ok(()),
        }
    }

    pub(crate) fn open(self: &Arc<Self>, limit: usize) -> Held {
        Held { budget: Arc::clone(self), bytes: 0, limit }
    }
}

// === impl Held ===

impl Held {
    /// Whether so many bytes would fit now. Nothing is set aside: who only announces a body holds no room.
    ///
    /// # Errors
    /// As `grow_to`.
    fn has_room_for(&self, bytes: usize) -> Result<(), Refusal> {
        self.budget.allows(bytes)?;
        let all = self.budget.bytes.load(Relaxed).saturating_add(bytes);
        if all > self.limit { Err(Refusal::overloaded("bodies_in_flight")) } else { Ok(()) }
    }

    /// Takes its share of so many bytes.
    ///
    /// # Errors
    /// The limit of all together is passed, or memory is scarce.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.budget.allows(bytes)?;
        let more = bytes.saturating_sub(self.bytes);
        let before = self.budget.bytes.fetch_add(more, Relaxed);
        self.bytes += more;
        if before.saturating_add(more) > self.limit {
            Err(Refusal::overloaded("bodies_in_flight"))
        } else {
            Ok(())
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.bytes.fetch_sub(self.bytes, Relaxed);
    }
}

/// The whole body, decoded if it came as gzip; `held` grows with it.
///
/// # Errors
/// Over the limit (at once where the length is declared), too slow, cut, an encoding that is not known.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Incoming,
    limit: usize,
    held: &mut Held,
) -> Result<Bytes, Refusal> {
    let gzip = is_gzip(headers)?;
    let declared = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(Refusal::too_large(limit, None));
    }
    held.has_room_for(declared.unwrap_or(0))?;
    let whole = collect(body, declared, limit, held).await?;
    if !gzip {
        return Ok(whole);
    }
    let plain = gunzip(&whole, limit)?;
    held.grow_to(whole.len() + plain.len())?;
    Ok(plain)
}

async fn collect(
    mut body: Incoming,
    declared: Option<usize>,
    limit: usize,
    held: &mut Held,
) -> Result<Bytes, Refusal> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let frame = match within(IDLE, body.frame()).await {
            Err(_) => return Err(Refusal::slow_body()),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Refusal::invalid("the request's body was cut", "body_cut", None)),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(piece) = frame.into_data() else { continue };
        let length = first.len() + rest.len() + piece.len();
        if length > limit {
            return Err(Refusal::too_large(limit, None));
        }
        held.grow_to(length)?;
        // A small request comes in one piece, which is then not copied.
        if first.is_empty() && rest.is_empty() {
            first = piece;
            if body.is_end_stream() {
                break;
            }
            continue;
        }
        if rest.is_empty() {
            rest.reserve(declared.unwrap_or(FIRST_CAPACITY).max(length));
            rest.extend_from_slice(&first);
            first = Bytes::new();
        }
        rest.extend_from_slice(&piece);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, Refusal> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(false) };
    if codings.next().is_some() {
        return Err(Refusal::unsupported_encoding());
    }
    match coding.as_bytes().trim_ascii().to_ascii_lowercase().as_slice() {
        b"gzip" | b"x-gzip" => Ok(true),
        b"identity" | b"" => Ok(false),
        _ => Err(Refusal::unsupported_encoding()),
    }
}
