//! What a caller's signature says of itself, and whether it is right.

use crate::{ALGORITHM, CONTENT, DATE, Instant, Message, Scope, TERMINATOR, hex};
use aws_lc_rs::hmac::verify;
use http::{HeaderMap, header};

/// Seconds that a caller's clock may be off.
const SKEW: u64 = 300;
/// Headers that one signature may be over.
const SIGNED_LIMIT: usize = 64;

/// A signature as it came, read but not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose key it claims to be.
    pub access_key_id: Box<str>,
    at: Instant,
    region: Box<str>,
    service: Box<str>,
    /// Names, in order.
    signed: Vec<Box<str>>,
    signature: [u8; 32],
}

/// Why a signature lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It is not one, or leaves out what must be signed.
    Form,
    /// It is of another time.
    Time,
    /// It is not over this request, or not by this key.
    Signature,
}

// === impl Claim ===

impl Claim {
    /// Whether a request claims to be signed at all.
    #[must_use]
    pub fn is_made(headers: &HeaderMap) -> bool {
        headers
            .get(header::AUTHORIZATION)
            .is_some_and(|value| value.as_bytes().starts_with(ALGORITHM.as_bytes()))
    }

    /// Reads it, and looks at what needs no key: its form and its time.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(headers: &HeaderMap, now_unix: u64) -> Result<Self, Wrong> {
        let claim = parse(headers).ok_or(Wrong::Form)?;
        let distance = claim.at.unix().abs_diff(now_unix);
        if distance > SKEW { Err(Wrong::Time) } else { Ok(claim) }
    }

    /// Whether it was made with this secret over this request.
    ///
    /// # Errors
    /// That it was not.
    pub fn check(&self, secret: &[u8], message: &Message<'_>) -> Result<(), Wrong> {
        // Where the body's hash is told beside the body, it is this body's: nothing is taken unsigned.
        if let Some(told) = message.headers.get(CONTENT)
            && !told.as_bytes().eq_ignore_ascii_case(hex(&message.body).as_bytes())
        {
            return Err(Wrong::Signature);
        }
        let signed: Vec<&str> = self.signed.iter().map(AsRef::as_ref).collect();
        let canonical = message.canonical(&signed).ok_or(Wrong::Form)?;
        let scope = Scope { date: self.at.date(), region: &self.region, service: &self.service };
        let text = scope.string_to_sign(self.at, &canonical);
        verify(&scope.key(secret), text.as_bytes(), &self.signature).map_err(|_| Wrong::Signature)
    }
}

fn parse(headers: &HeaderMap) -> Option<Claim> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let text = all.next()?.to_str().ok()?;
    if all.next().is_some() {
        return None;
    }
    let fields = text.strip_prefix(ALGORITHM)?;
    let (mut credential, mut signed, mut signature) = (None, None, None);
    for field in fields.split(',') {
        let (name, value) = field.trim().split_once('=')?;
        let place = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed,
            "Signature" => &mut signature,
            _ => return None,
        };
        if place.replace(value).is_some() {
            return None;
        }
    }
    let signed: Vec<Box<str>> = signed?.split(';').map(Box::from).collect();
    let at = Instant::parse(headers.get(DATE)?.to_str().ok()?)?;
    let mut scope = credential?.split('/');
    let (access_key_id, date) = (scope.next()?, scope.next()?);
    let (region, service) = (scope.next()?, scope.next()?);
    let whole = scope.next() == Some(TERMINATOR) && scope.next().is_none();
    let holds = |name: &str| signed.iter().any(|one| **one == *name);
    let ordered = signed.len() <= SIGNED_LIMIT && signed.windows(2).all(|pair| pair.first() < pair.last());
    let right = whole && date == at.date() && holds("host") && holds(DATE.as_str()) && ordered;
    right.then_some(Claim {
        access_key_id: access_key_id.into(),
        at,
        region: region.into(),
        service: service.into(),
        signed,
        signature: unhex(signature?)?,
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let value = |digit: Option<&u8>| char::from(*digit?).to_digit(16);
        *byte = u8::try_from(value(pair.first())? * 16 + value(pair.get(1))?).ok()?;
    }
    Some(bytes)
}
