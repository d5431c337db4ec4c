//! Documents in the order of their keys, on shelves that copies share: a copy takes the list of shelves, a change of one takes
//! the shelf that it touches, never what stands on the others.

use super::Key;
use std::sync::Arc;

/// Documents on one shelf; one that gets more becomes two.
const ROOM: usize = 256;

type Shelf<T> = Vec<(Key, Arc<T>)>;

/// All of them. No shelf is empty.
#[derive(Debug)]
pub(crate) struct Shelves<T>(Vec<Arc<Shelf<T>>>);

// === impl Shelves ===

impl<T> Default for Shelves<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Clone for Shelves<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: PartialEq> PartialEq for Shelves<T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Eq> Eq for Shelves<T> {}

impl<T> Shelves<T> {
    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<T>> {
        let shelf = self.0.get(self.place(key))?;
        shelf.get(find(shelf, key).ok()?).map(|(_, held)| held)
    }

    /// Gives what was there.
    pub(crate) fn put(&mut self, key: Key, held: Arc<T>) -> Option<Arc<T>> {
        let place = self.place(&key);
        let Some(shelf) = self.0.get_mut(place) else {
            self.0.push(Arc::new(vec![(key, held)]));
            return None;
        };
        let shelf = Arc::make_mut(shelf);
        match find(shelf, &key) {
            Ok(at) => return shelf.get_mut(at).map(|(_, there)| std::mem::replace(there, held)),
            Err(at) => shelf.insert(at, (key, held)),
        }
        if shelf.len() > ROOM {
            let upper = shelf.split_off(ROOM / 2);
            self.0.insert(place + 1, Arc::new(upper));
        }
        None
    }

    /// Likewise.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Arc<T>> {
        let place = self.place(key);
        let shelf = self.0.get_mut(place)?;
        let at = find(shelf, key).ok()?;
        if shelf.len() > 1 {
            return Some(Arc::make_mut(shelf).remove(at).1);
        }
        let shelf = self.0.remove(place);
        shelf.first().map(|(_, held)| Arc::clone(held))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Arc<T>)> {
        self.0.iter().flat_map(|shelf| shelf.iter()).map(|(key, held)| (key, held))
    }

    /// Those at this key and behind it.
    pub(crate) fn from<'a>(&'a self, key: &Key) -> impl Iterator<Item = (&'a Key, &'a Arc<T>)> + use<'a, T> {
        let place = self.place(key);
        let first = self.0.get(place).map(|shelf| find(shelf, key).unwrap_or_else(|at| at));
        let first = self.0.get(place).and_then(|shelf| shelf.get(first.unwrap_or_default()..));
        let rest = self.0.get(place + 1..).unwrap_or_default();
        let all = first.into_iter().flatten().chain(rest.iter().flat_map(|shelf| shelf.iter()));
        all.map(|(key, held)| (key, held))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|shelf| shelf.len()).sum()
    }

    /// Shelves that are the other's too.
    #[cfg(test)]
    pub(crate) fn shared(&self, other: &Self) -> (usize, usize) {
        let of_other = |shelf: &&Arc<Shelf<T>>| other.0.iter().any(|one| Arc::ptr_eq(one, shelf));
        (self.0.iter().filter(of_other).count(), self.0.len())
    }

    /// Of the shelf where that key stands or would stand.
    fn place(&self, key: &Key) -> usize {
        let before = |shelf: &Arc<Shelf<T>>| shelf.first().is_some_and(|(first, _)| first <= key);
        self.0.partition_point(before).saturating_sub(1)
    }
}

fn find<T>(shelf: &Shelf<T>, key: &Key) -> Result<usize, usize> {
    shelf.binary_search_by(|(there, _)| there.cmp(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn key(number: u32) -> Key {
        Key::new("client", &format!("{number:05}"))
    }

    fn told<'a>(all: impl Iterator<Item = (&'a Key, &'a Arc<u32>)>) -> Vec<(String, u32)> {
        all.map(|(key, held)| (key.to_string(), **held)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn they_are_what_a_map_is(steps in prop::collection::vec((0..2000u32, prop::option::weighted(0.7, any::<u32>())), 0..3000)) {
            let (mut shelves, mut map) = (Shelves::default(), BTreeMap::new());
            let (mut before, mut as_told) = (shelves.clone(), Vec::new());
            for (at, (number, value)) in steps.into_iter().enumerate() {
                match value {
                    Some(value) => {
                        shelves.put(key(number), Arc::new(value));
                        map.insert(key(number), Arc::new(value));
                    }
                    None => {
                        shelves.remove(&key(number));
                        map.remove(&key(number));
                    }
                }
                if at == 1000 {
                    (before, as_told) = (shelves.clone(), told(map.iter()));
                }
            }
            prop_assert_eq!(told(shelves.iter()), told(map.iter()));
            prop_assert_eq!(told(before.iter()), as_told, "a state is not changed by the next");
            prop_assert_eq!(shelves.is_empty(), map.is_empty());
            prop_assert!(shelves.0.iter().all(|shelf| (1..=ROOM).contains(&shelf.len())));
            for number in (0..2000).step_by(37) {
                prop_assert_eq!(shelves.get(&key(number)), map.get(&key(number)));
                prop_assert_eq!(told(shelves.from(&key(number))), told(map.range(key(number)..)));
            }
        }
    }

    #[test]
    fn a_change_copies_one_shelf() {
        let mut shelves = Shelves::default();
        (0..10_000).for_each(|number| drop(shelves.put(key(number), Arc::new(number))));
        let mut next = shelves.clone();
        next.put(key(5_000), Arc::new(0));
        let (shared, all) = next.shared(&shelves);
        assert_eq!(shared, all - 1);
    }
}
