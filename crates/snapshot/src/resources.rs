//! The resources of a state as they were sent, in 256 buckets by kind and name, and the roots of the tree over them.
//! A change copies the buckets that it touches, hashes these anew and shares all others with the state before.

use crate::{
    Invalid, StateHash,
    hash::{BUCKETS, Leaf, bucket_hash, bucket_of, leaf, root},
};
use keyway_proto::snapshot::v1::{Kind, Resource, Settings};
use prost::Message;
use std::{collections::BTreeSet, fmt, sync::Arc};
use zeroize::Zeroize;

/// Every resource of one state.
#[derive(Clone)]
pub struct Resources {
    buckets: Vec<Arc<Bucket>>,
    roots: Roots,
}

/// Root over everything, and over each of the two kinds of what replicas are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roots {
    /// Of the whole state.
    pub all: StateHash,
    /// Of credentials.
    pub secrets: StateHash,
    /// Of everything else.
    pub configuration: StateHash,
}

/// Names one resource of a state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceName {
    /// As `Resource.kind`.
    pub kind: i32,
    /// Unique within its kind.
    pub name: String,
}

/// What makes one state of another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// New, or in place of the one with the same kind and name.
    pub given: Vec<Resource>,
    /// Gone.
    pub taken: Vec<ResourceName>,
}

#[derive(Clone, Default)]
struct Bucket {
    /// Sorted by kind and name.
    secrets: Vec<Arc<Entry>>,
    rules: Vec<Arc<Entry>>,
    /// Apart: there may be a hundred thousand, and most changes look at none or at one.
    clients: Vec<Arc<Entry>>,
    hashes: [Leaf; 3],
    bytes: u64,
    needs: BTreeSet<String>,
}

struct Entry {
    resource: Resource,
    leaf: Leaf,
}

// === impl Resources ===

impl Default for Resources {
    fn default() -> Self {
        let mut empty = Bucket::default();
        empty.sum_up();
        let empty = Arc::new(empty);
        let buckets = (0..BUCKETS).map(|_| Arc::clone(&empty)).collect();
        let mut all = Self { buckets, roots: Roots::of(StateHash([0; 32])) };
        all.sum_up();
        all
    }
}

impl Resources {
    /// A whole state.
    ///
    /// # Errors
    /// The resource that appears twice.
    pub fn whole(resources: &[Resource]) -> Result<Self, Invalid> {
        let mut all = Self::default();
        let mut buckets: Vec<Bucket> = (0..BUCKETS).map(|_| Bucket::default()).collect();
        for resource in resources {
            let place = usize::from(bucket_of(resource.kind, &resource.name));
            if let Some(bucket) = buckets.get_mut(place) {
                bucket.group(resource.kind).push(Arc::new(Entry::new(resource)));
            }
        }
        // Empty ones stay the one that all share.
        for (mut bucket, place) in buckets.into_iter().zip(&mut all.buckets).filter(|(one, _)| one.len() > 0)
        {
            bucket.sort()?;
            bucket.sum_up();
            *place = Arc::new(bucket);
        }
        all.sum_up();
        Ok(all)
    }

    /// The state that a change makes of this one.
    #[must_use]
    pub fn changed(&self, change: &Change) -> Self {
        let mut next = self.clone();
        let mut touched = BTreeSet::new();
        for gone in &change.taken {
            if let Some(bucket) = next.edit(gone.kind, &gone.name, &mut touched) {
                bucket.take(gone.kind, &gone.name);
            }
        }
        for resource in &change.given {
            if let Some(bucket) = next.edit(resource.kind, &resource.name, &mut touched) {
                bucket.give(resource);
            }
        }
        for place in touched {
            if let Some(bucket) = next.buckets.get_mut(usize::from(place)) {
                Arc::make_mut(bucket).sum_up();
            }
        }
        next.sum_up();
        next
    }

    /// Names of what differs in `newer`: new, another, or gone.
    #[must_use]
    pub fn differing(&self, newer: &Self) -> BTreeSet<ResourceName> {
        let pairs = self.buckets.iter().zip(&newer.buckets).filter(|(old, new)| !Arc::ptr_eq(old, new));
        pairs.flat_map(|(old, new)| old.differing(new)).collect()
    }

    /// What these names stand for here, ordered as it is sent: secrets before what uses them. Others are taken.
    #[must_use]
    pub fn change_of(&self, names: &BTreeSet<ResourceName>) -> Change {
        let mut change = Change::default();
        for named in names {
            match self.get(named.kind, &named.name) {
                Some(resource) => change.given.push(resource.clone()),
                None => change.taken.push(named.clone()),
            }
        }
        change.given.sort_by_key(|resource| !is_secret(resource.kind));
        change
    }

    /// What leads from this state to `newer`.
    #[must_use]
    pub fn change_to(&self, newer: &Self) -> Change {
        newer.change_of(&self.differing(newer))
    }

    /// The resource of that kind and name.
    #[must_use]
    pub fn get(&self, kind: i32, name: &str) -> Option<&Resource> {
        let bucket = self.buckets.get(usize::from(bucket_of(kind, name)))?;
        let group = bucket.of(kind);
        let place = place(group, kind, name).ok()?;
        group.get(place).map(|entry| &entry.resource)
    }

    /// Whose state it is, as its settings say; empty = not said.
    #[must_use]
    pub fn cluster(&self) -> String {
        let settings = self.get(Kind::Settings as i32, "settings");
        let Some(mut settings) = settings.and_then(|one| Settings::decode(one.body.clone()).ok()) else {
            return String::new();
        };
        settings.digest_key.zeroize();
        settings.cluster
    }

    /// All, secrets first, then configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        let secrets = self.buckets.iter().flat_map(|bucket| &bucket.secrets);
        let rules = self.buckets.iter().flat_map(|bucket| &bucket.rules);
        let clients = self.buckets.iter().flat_map(|bucket| &bucket.clients);
        secrets.chain(rules).chain(clients).map(|entry| &entry.resource)
    }

    /// All but clients.
    pub(crate) fn but_clients(&self) -> impl Iterator<Item = &Resource> {
        let groups = self.buckets.iter().flat_map(|bucket| bucket.secrets.iter().chain(&bucket.rules));
        groups.map(|entry| &entry.resource)
    }

    /// Clients alone.
    pub(crate) fn clients(&self) -> impl Iterator<Item = &Resource> + Clone {
        self.buckets.iter().flat_map(|bucket| &bucket.clients).map(|entry| &entry.resource)
    }

    /// Roots of the tree.
    #[must_use]
    pub fn roots(&self) -> Roots {
        self.roots
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all, encoded.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.bytes).sum()
    }

    /// What a replica must be able to do to read all of it.
    #[must_use]
    pub fn needs(&self) -> BTreeSet<&str> {
        self.buckets.iter().flat_map(|bucket| &bucket.needs).map(String::as_str).collect()
    }

    fn edit(&mut self, kind: i32, name: &str, touched: &mut BTreeSet<u8>) -> Option<&mut Bucket> {
        let place = bucket_of(kind, name);
        touched.insert(place);
        self.buckets.get_mut(usize::from(place)).map(Arc::make_mut)
    }

    fn sum_up(&mut self) {
        let over = |part: fn(&Bucket) -> Leaf| root(self.buckets.iter().map(|bucket| part(bucket)));
        self.roots = Roots {
            all: over(|bucket| bucket.hashes[0]),
            secrets: over(|bucket| bucket.hashes[1]),
            configuration: over(|bucket| bucket.hashes[2]),
        };
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resources({}, {})", self.len(), self.roots.all)
    }
}

// === impl Roots ===

impl Roots {
    fn of(hash: StateHash) -> Self {
        Self { all: hash, secrets: hash, configuration: hash }
    }
}

// === impl ResourceName ===

impl ResourceName {
    /// Which one `resource` is.
    #[must_use]
    pub fn of(resource: &Resource) -> Self {
        Self { kind: resource.kind, name: resource.name.clone() }
    }
}

// === impl Bucket ===

impl Bucket {
    fn of(&self, kind: i32) -> &Vec<Arc<Entry>> {
        match Kind::try_from(kind) {
            Ok(Kind::Credential) => &self.secrets,
            Ok(Kind::Client) => &self.clients,
            _ => &self.rules,
        }
    }

    fn group(&mut self, kind: i32) -> &mut Vec<Arc<Entry>> {
        match Kind::try_from(kind) {
            Ok(Kind::Credential) => &mut self.secrets,
            Ok(Kind::Client) => &mut self.clients,
            _ => &mut self.rules,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.secrets.iter().chain(&self.rules).chain(&self.clients)
    }

    fn len(&self) -> usize {
        self.secrets.len() + self.rules.len() + self.clients.len()
    }

    fn sort(&mut self) -> Result<(), Invalid> {
        for group in [&mut self.secrets, &mut self.rules, &mut self.clients] {
            group.sort_by(|a, b| a.key().cmp(&b.key()));
            let twice = group.windows(2).find_map(|pair| match pair {
                [a, b] if a.key() == b.key() => Some(&a.resource),
                _ => None,
            });
            if let Some(resource) = twice {
                return Err(Invalid::new(resource.kind(), &resource.name, "name", "appears twice"));
            }
        }
        Ok(())
    }

    fn give(&mut self, resource: &Resource) {
        let entry = Arc::new(Entry::new(resource));
        let group = self.group(resource.kind);
        match place(group, resource.kind, &resource.name) {
            Ok(at) => {
                if let Some(old) = group.get_mut(at) {
                    *old = entry;
                }
            }
            Err(at) => group.insert(at, entry),
        }
    }

    fn take(&mut self, kind: i32, name: &str) {
        let group = self.group(kind);
        if let Ok(at) = place(group, kind, name) {
            group.remove(at);
        }
    }

    /// What follows from its resources.
    fn sum_up(&mut self) {
        let leaves = |groups: &[&Vec<Arc<Entry>>]| {
            let mut leaves: Vec<Leaf> = groups.iter().copied().flatten().map(|entry| entry.leaf).collect();
            bucket_hash(&mut leaves)
        };
        let Self { secrets, rules, clients, .. } = self;
        self.hashes = [leaves(&[secrets, rules, clients]), leaves(&[secrets]), leaves(&[rules, clients])];
        self.bytes = self.all().map(|entry| entry.resource.encoded_len() as u64).sum();
        self.needs = self.all().flat_map(|entry| &entry.resource.needs).cloned().collect();
    }

    fn differing<'a>(&'a self, newer: &'a Self) -> impl Iterator<Item = ResourceName> + 'a {
        let other = |of: &'a Self| {
            move |entry: &&Arc<Entry>| {
                let (kind, name) = entry.key();
                let group = of.of(kind);
                let found = place(group, kind, name).ok().and_then(|at| group.get(at));
                found.is_none_or(|found| found.leaf != entry.leaf)
            }
        };
        self.all()
            .filter(other(newer))
            .chain(newer.all().filter(other(self)))
            .map(|one| ResourceName::of(&one.resource))
    }
}

// === impl Entry ===

impl Entry {
    fn new(resource: &Resource) -> Self {
        Self { leaf: leaf(resource), resource: resource.clone() }
    }

    fn key(&self) -> (i32, &str) {
        (self.resource.kind, &self.resource.name)
    }
}

/// Whether resources of that kind are secrets and nothing else.
fn is_secret(kind: i32) -> bool {
    kind == Kind::Credential as i32
}

fn place(group: &[Arc<Entry>], kind: i32, name: &str) -> Result<usize, usize> {
    group.binary_search_by(|entry| entry.key().cmp(&(kind, name)))
}
