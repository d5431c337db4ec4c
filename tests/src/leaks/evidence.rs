//! All that was gathered, and what of it may hold a secret: the named exceptions.

use std::fs;
use std::io;
use std::path::Path;

use super::{Hit, Scanner};

/// Everything that the programs said, sent or left behind, by the place where it was found.
#[derive(Debug, Default)]
pub struct Evidence {
    pieces: Vec<(String, Vec<u8>)>,
}

/// A place that may hold a secret.
#[derive(Debug, Clone, Copy)]
pub struct Excused {
    /// Where; one `*` stands for anything.
    pub place: &'static str,
    /// Which, by its name; one `*` stands for anything.
    pub marker: &'static str,
    /// Why it may.
    pub reason: &'static str,
}

// === impl Evidence ===

impl Evidence {
    /// Adds what was found at `place`.
    pub fn add(&mut self, place: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.pieces.push((place.into(), bytes.into()));
    }

    /// Adds every file below `folder` as `place/…`, its name too.
    pub fn add_folder(&mut self, place: &str, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let place = format!("{place}/{}", entry.file_name().display());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.add_folder(&place, &entry.path())?;
            } else if kind.is_file() {
                let mut bytes = place.clone().into_bytes();
                bytes.push(b'\n');
                bytes.extend(fs::read(entry.path())?);
                self.add(place, bytes);
            }
        }
        Ok(())
    }

    /// How many bytes there are.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.pieces.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// How many places.
    #[must_use]
    pub fn places(&self) -> usize {
        self.pieces.len()
    }

    /// Every hit that no exception names, as a line without the secret; and the exceptions that nothing needed.
    #[must_use]
    pub fn judge(&self, scanner: &Scanner, excused: &[Excused]) -> (Vec<String>, Vec<Excused>) {
        let (mut leaks, mut needed) = (Vec::new(), vec![false; excused.len()]);
        for (place, bytes) in &self.pieces {
            for hit in scanner.scan(bytes) {
                match excused.iter().position(|one| one.covers(place, &hit)) {
                    Some(number) => needed.iter_mut().skip(number).take(1).for_each(|one| *one = true),
                    None => {
                        leaks.push(format!("{place}: {} as {:?} at byte {}", hit.marker, hit.form, hit.at))
                    }
                }
            }
        }
        let unused = excused.iter().zip(needed).filter(|(_, needed)| !needed).map(|(one, _)| *one);
        (leaks, unused.collect())
    }
}

// === impl Excused ===

impl Excused {
    fn covers(&self, place: &str, hit: &Hit) -> bool {
        matches(self.place, place) && matches(self.marker, &hit.marker)
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| rest.ends_with(after)),
    }
}
