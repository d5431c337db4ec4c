//! Secrets made for one test, or made by a program and told apart by the file or answer that they stood in.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::Form;
use crate::gateway::Outcome;

/// Characters of the random part.
const LENGTH: usize = 32;
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// One secret.
#[derive(Clone)]
pub struct Marker {
    /// What it is, for people: `key/rotated`.
    pub name: String,
    /// All of it, as it is given to a program.
    pub text: String,
    /// The part that stands nowhere by chance.
    pub(super) random: Vec<u8>,
}

// === impl Marker ===

impl Marker {
    /// A new one that begins with `prefix`.
    pub fn new(name: &str, prefix: &str) -> io::Result<Self> {
        let mut random = [0; LENGTH];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let letter = |byte: u8| LETTERS.get(usize::from(byte) % LETTERS.len()).copied().unwrap_or(b'x');
        Ok(Self::ending(name, prefix, random.map(letter).to_vec()))
    }

    /// A new one with characters that URLs, JSON and the two alphabets of base64 write differently.
    pub fn odd(name: &str, prefix: &str) -> io::Result<Self> {
        let mut random = Self::new(name, "")?.random;
        for (place, byte) in random.iter_mut().skip(2).step_by(3).zip("~?>+/=~?>~".bytes()) {
            *place = byte;
        }
        Ok(Self::ending(name, prefix, random))
    }

    /// One that a program made; `secret` is what of it nobody may learn.
    #[must_use]
    pub fn found(name: &str, secret: &[u8]) -> Self {
        Self::ending(name, "", secret.to_vec())
    }

    /// The whole of it as others would write it into a log, once for each way.
    #[must_use]
    pub fn written(&self) -> Vec<(Form, Vec<u8>)> {
        let random = self.random.as_slice();
        let mut all =
            vec![(Form::Raw, random.to_vec()), (Form::Escaped, format!("{}", random.escape_ascii()).into())];
        for before in ["", "a", "aa"] {
            let text = [before.as_bytes(), random].concat();
            all.push((Form::Base64, STANDARD.encode(&text).into()));
            all.push((Form::Base64, URL_SAFE_NO_PAD.encode(&text).into()));
        }
        let each = |write: fn(&u8) -> String| random.iter().map(write).collect::<String>().into_bytes();
        all.push((Form::Hex, each(|byte| format!("{byte:02x}"))));
        all.push((Form::Hex, each(|byte| format!("{byte:02X}"))));
        all.push((Form::Percent, each(|byte| format!("%{byte:02x}"))));
        all.push((Form::Percent, each(|byte| format!("%{byte:02X}"))));
        all.push((Form::Decimal, format!("{random:?}").into()));
        all.push((Form::Raw, random.get(5..13).unwrap_or_default().to_vec()));
        all
    }

    fn ending(name: &str, prefix: &str, random: Vec<u8>) -> Self {
        let text = format!("{prefix}{}", random.utf8_chunks().map(|chunk| chunk.valid()).collect::<String>());
        Self { name: name.to_owned(), text, random }
    }
}

impl fmt::Debug for Marker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Marker({})", self.name)
    }
}

/// All secrets of a scenario.
#[derive(Debug, Default)]
pub struct Secrets(pub Vec<Marker>);

// === impl Secrets ===

impl Secrets {
    /// A new one that looks like a key, as text.
    pub fn key(&mut self, name: &str) -> Outcome<String> {
        self.keep(Marker::new(name, "sk-leak-")?)
    }

    /// One more, as text.
    pub fn keep(&mut self, marker: Marker) -> Outcome<String> {
        let text = marker.text.clone();
        self.0.push(marker);
        Ok(text)
    }
}
