//! Every control plane that a replica may connect to: those it was started with, then those that it was told of. One is in use;
//! when it is lost the next one is. Pure but for a lock that is held for moments.

use parking_lot::Mutex;
use std::sync::Arc;

/// Control planes that are remembered beyond those that were given.
const LEARNT: usize = 16;

/// All of them; clones are the same list.
#[derive(Debug, Clone)]
pub(crate) struct Planes(Arc<Mutex<Known>>);

#[derive(Debug)]
struct Known {
    given: Vec<String>,
    learnt: Vec<String>,
    current: String,
}

// === impl Planes ===

impl Planes {
    /// Those that were given, `URL,URL`.
    pub(crate) fn new(urls: &str) -> Self {
        let given: Vec<String> = urls.split(',').map(|url| url.trim().to_owned()).collect();
        let current = given.first().cloned().unwrap_or_default();
        Self(Arc::new(Mutex::new(Known { given, learnt: Vec::new(), current })))
    }

    /// The one in use.
    pub(crate) fn current(&self) -> String {
        self.0.lock().current.clone()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().all().count()
    }

    /// Every one, those that were given first.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().all().filter(|url| !url.is_empty()).cloned().collect()
    }

    /// As `new` takes them, the one in use first: for who starts now.
    pub(crate) fn listed(&self) -> String {
        let known = self.0.lock();
        let others = known.all().filter(|url| **url != known.current);
        std::iter::once(&known.current).chain(others).cloned().collect::<Vec<_>>().join(",")
    }

    /// That one is lost: the next is in use, unless another already is.
    pub(crate) fn leave(&self, lost: &str) {
        let mut known = self.0.lock();
        if known.current != lost {
            return;
        }
        let next = {
            let all: Vec<&String> = known.all().collect();
            let at = all.iter().position(|url| *url == lost).map_or(0, |at| at + 1);
            all.get(at).or(all.first()).map(|url| (*url).clone())
        };
        known.current = next.unwrap_or_default();
    }

    /// What a control plane says that there are.
    pub(crate) fn learn(&self, mut urls: Vec<String>) {
        urls.truncate(LEARNT);
        self.0.lock().learnt = urls;
    }
}

// === impl Known ===

impl Known {
    fn all(&self) -> impl Iterator<Item = &String> {
        self.given.iter().chain(self.learnt.iter().filter(|url| !self.given.contains(url)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_one_is_in_use_when_one_is_lost() {
        let planes = Planes::new("http://a, http://b");
        assert_eq!((planes.current().as_str(), planes.count()), ("http://a", 2));
        planes.leave("http://b");
        assert_eq!(planes.current(), "http://a", "another one was lost");
        planes.leave("http://a");
        planes.learn(vec!["http://a".to_owned(), "http://c".to_owned()]);
        assert_eq!((planes.current().as_str(), planes.count()), ("http://b", 3));
        assert_eq!(planes.all(), ["http://a", "http://b", "http://c"]);
        planes.leave("http://b");
        assert_eq!(planes.current(), "http://c");
        assert_eq!(planes.listed(), "http://c,http://a,http://b");
        planes.learn(Vec::new());
        planes.leave("http://c");
        assert_eq!(planes.current(), "http://a", "one that is forgotten is left all the same");
        assert!(Planes::new("").all().is_empty(), "none was given");
        let one = Planes::new("http://a");
        one.leave("http://a");
        assert_eq!(one.current(), "http://a");
    }
}
