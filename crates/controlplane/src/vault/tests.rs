//! The vault on a real disk: what comes back, what never does, what lies there.

use super::*;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

const PLAIN: &[u8] = b"sk-canary-7f3a9c51e2d84b60-0123456789";

struct Home {
    dir: TempDir,
    root: RootKey,
    vault: Vault,
}

impl Home {
    fn new(cluster: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = RootKey::make(&dir.path().join("root.key")).unwrap();
        let vault = Vault::create(dir.path(), &root, cluster, 0).unwrap();
        Self { dir, root, vault }
    }

    fn file(&self, id: &SecretId) -> PathBuf {
        self.dir.path().join(DIR).join(id.file())
    }

    fn again(&self) -> Vault {
        Vault::unlock(self.dir.path(), &self.root, "c1").unwrap()
    }

    fn start(&self, has_data: bool) -> Opened {
        start(&at(self.dir.path()), has_data, "c1", 0).unwrap()
    }
}

fn at(home: &Path) -> Sources {
    Sources { home: home.to_owned(), ..Sources::default() }
}

fn id(provider: &str, key: &str, version: u32) -> SecretId {
    SecretId { provider: provider.to_owned(), key: key.to_owned(), version }
}

fn origins(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|origin| (*origin).to_owned()).collect()
}

fn here() -> BTreeSet<String> {
    origins(&["https://api.example.com:443"])
}

fn secret(bytes: &[u8]) -> Secret {
    Secret::new(bytes.to_vec())
}

fn why(outcome: Result<Secret, VaultError>) -> Unfit {
    match outcome {
        Err(VaultError::Integrity { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

fn reason(opened: Opened) -> Sealed {
    match opened {
        Opened::Sealed(VaultError::Sealed(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

/// All files below a directory.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        if path.is_dir() { files(&path) } else { vec![(path.clone(), fs::read(&path).unwrap())] }
    };
    entries.flat_map(read).collect()
}

#[test]
fn comes_back_after_a_restart_and_is_replaced_and_erased() {
    let home = Home::new("c1");
    let (one, two) = (id("openai", "main", 1), id("openai", "main", 2));
    home.vault.put(&one, &secret(PLAIN), &here()).unwrap();
    home.vault.put(&two, &secret(b"second"), &here()).unwrap();
    let vault = home.again();
    assert_eq!(vault.open(&one, &here()).unwrap().expose(), PLAIN);
    assert_eq!(vault.open(&two, &here()).unwrap().expose(), b"second");
    assert_eq!(vault.digest_key(), home.vault.digest_key());
    assert_eq!(vault.fingerprint(PLAIN), home.vault.fingerprint(PLAIN));
    assert_ne!(vault.fingerprint(PLAIN), vault.fingerprint(b"second"));
    let mut ids = vault.ids().unwrap();
    ids.sort();
    assert_eq!(ids, [one.clone(), two.clone()]);
    vault.put(&one, &secret(b"new"), &here()).unwrap();
    assert_eq!(vault.open(&one, &here()).unwrap().expose(), b"new");
    vault.erase(&one).unwrap();
    vault.erase(&one).unwrap();
    assert!(matches!(vault.open(&one, &here()), Err(VaultError::Missing { id }) if id == one));
    assert!(!home.file(&one).exists() && home.file(&two).exists());
}

#[test]
fn goes_to_other_addresses_only_when_sealed_for_them() {
    let vault = Vault::ephemeral().unwrap();
    let one = id("openai", "main", 1);
    vault.put(&one, &secret(PLAIN), &here()).unwrap();
    let more = origins(&["https://api.example.com:443", "https://eu.example.com:443"]);
    for other in [&more, &origins(&[]), &origins(&["https://evil.example.com:443"])] {
        assert_eq!(why(vault.open(&one, other)), Unfit::OtherOrigins);
    }
    vault.reseal(&one, &more).unwrap();
    assert_eq!(vault.open(&one, &more).unwrap().expose(), PLAIN);
    assert_eq!(why(vault.open(&one, &here())), Unfit::OtherOrigins);
}

/// S10: a file in the place of another, of another version, of another cluster.
#[test]
fn a_file_opens_in_its_own_place_only() {
    let (home, other) = (Home::new("c1"), Home::new("c2"));
    let ids =
        [id("openai", "main", 1), id("openai", "main", 2), id("openai", "spare", 1), id("groq", "main", 1)];
    for (number, id) in ids.iter().enumerate() {
        home.vault.put(id, &secret(format!("secret {number}").as_bytes()), &here()).unwrap();
        other.vault.put(id, &secret(b"theirs"), &here()).unwrap();
    }
    for from in &ids {
        for to in ids.iter().filter(|to| *to != from) {
            let kept = fs::read(home.file(to)).unwrap();
            fs::copy(home.file(from), home.file(to)).unwrap();
            assert_eq!(why(home.vault.open(to, &here())), Unfit::OtherId);
            // What the file says of itself can be made to fit; what it is bound to cannot.
            let mut forged = Envelope::decode(&fs::read(home.file(from)).unwrap()).unwrap();
            forged.id = to.clone();
            fs::write(home.file(to), forged.encode().unwrap()).unwrap();
            assert_eq!(why(home.vault.open(to, &here())), Unfit::Altered);
            fs::write(home.file(to), kept).unwrap();
        }
    }
    fs::copy(other.file(&ids[0]), home.file(&ids[0])).unwrap();
    assert_eq!(why(home.vault.open(&ids[0], &here())), Unfit::Altered);
    let mut forged = Envelope::decode(&fs::read(home.file(&ids[1])).unwrap()).unwrap();
    forged.origins = origins(&["https://evil.example.com:443"]);
    fs::write(home.file(&ids[1]), forged.encode().unwrap()).unwrap();
    assert_eq!(why(home.vault.open(&ids[1], &forged.origins)), Unfit::Altered);
}

/// The same keys under another cluster's name: only what is authenticated differs.
#[test]
fn the_clusters_name_is_bound() {
    let keyring = Keyring::random("c1", 0).unwrap();
    let one = id("openai", "main", 1);
    let sealed = Envelope::seal("c1", keyring.active().unwrap(), &one, &here(), &secret(PLAIN)).unwrap();
    assert_eq!(sealed.open(&keyring, &one, &here()).unwrap().expose(), PLAIN);
    let mut renamed = keyring;
    renamed.cluster = "c2".to_owned();
    assert_eq!(sealed.open(&renamed, &one, &here()).unwrap_err(), Unfit::Altered);
}

#[test]
fn no_flipped_bit_gives_a_secret() {
    let home = Home::new("c1");
    let one = id("openai", "main", 1);
    home.vault.put(&one, &secret(PLAIN), &here()).unwrap();
    let whole = fs::read(home.file(&one)).unwrap();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bent = whole.clone();
            bent[at] ^= 1 << bit;
            fs::write(home.file(&one), bent).unwrap();
            why(home.vault.open(&one, &here()));
        }
        fs::write(home.file(&one), &whole[..at]).unwrap();
        assert_eq!(why(home.vault.open(&one, &here())), Unfit::Damaged);
    }
}

#[test]
fn nothing_on_disk_is_in_clear() {
    let home = Home::new("c1");
    let one = id("openai", "main", 1);
    home.vault.put(&one, &secret(PLAIN), &here()).unwrap();
    let keyring = home.vault.keyring.read();
    let keys = [&keyring.digest, &keyring.fingerprint, &keyring.signing, &keyring.active().unwrap().key];
    let mut needles: Vec<Vec<u8>> = keys.iter().map(|key| key.expose().to_vec()).collect();
    needles.extend([PLAIN.to_vec(), PLAIN[10..26].to_vec(), home.root.key.expose().to_vec()]);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes();
    // Base64 of `sk-canary-7f3a9c51e2d84b60-0123456789`, without its end.
    needles.push(b"c2stY2FuYXJ5LTdmM2E5YzUxZTJkODRiNjAtMDEyMzQ1Njc4".to_vec());
    needles.extend(needles.clone().iter().map(|needle| hex(needle)));
    let found = files(home.dir.path());
    assert_eq!(found.len(), 3, "root key, keyring, one secret; nothing unfinished");
    for (path, bytes) in found {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        if path.ends_with("root.key") {
            continue;
        }
        for needle in &needles {
            assert!(!bytes.windows(needle.len()).any(|window| window == needle), "{}", path.display());
        }
    }
    let vault = home.dir.path().join(DIR);
    for dir in [vault.clone(), vault.join(FOLDER)] {
        assert_eq!(fs::metadata(dir).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

/// The text that the needle above stands for.
#[test]
fn the_needle_is_the_canary() {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift & 63) as usize])
    };
    let encoded: Vec<u8> = PLAIN[..36].chunks(3).flat_map(group).collect();
    assert_eq!(encoded, b"c2stY2FuYXJ5LTdmM2E5YzUxZTJkODRiNjAtMDEyMzQ1Njc4");
}

#[test]
fn every_sealing_has_its_own_data_key_and_nonce() {
    let home = Home::new("c1");
    let one = id("openai", "main", 1);
    let mut seen = BTreeSet::new();
    for _ in 0..16 {
        home.vault.put(&one, &secret(PLAIN), &here()).unwrap();
        seen.insert(fs::read(home.file(&one)).unwrap());
    }
    assert_eq!(seen.len(), 16);
}

#[test]
fn a_new_wrapping_key_opens_old_and_new() {
    let home = Home::new("c1");
    let (one, two) = (id("openai", "main", 1), id("openai", "main", 2));
    home.vault.put(&one, &secret(b"old"), &here()).unwrap();
    let before = home.dir.path().join("before");
    fs::copy(home.dir.path().join(DIR).join(keyring::FILE), &before).unwrap();
    assert!(!home.vault.kek_is_due(1) && home.vault.kek_is_due(366 * 24 * 60 * 60 * 1000));
    home.vault.add_kek(&home.root, 366 * 24 * 60 * 60 * 1000).unwrap();
    assert!(!home.vault.kek_is_due(366 * 24 * 60 * 60 * 1000));
    home.vault.put(&two, &secret(b"new"), &here()).unwrap();
    for vault in [&home.vault, &home.again()] {
        assert_eq!(vault.open(&one, &here()).unwrap().expose(), b"old");
        assert_eq!(vault.open(&two, &here()).unwrap().expose(), b"new");
    }
    home.vault.reseal(&one, &here()).unwrap();
    // With the keyring of yesterday, what was sealed today says what is wrong.
    fs::rename(before, home.dir.path().join(DIR).join(keyring::FILE)).unwrap();
    assert_eq!(why(home.again().open(&one, &here())), Unfit::UnknownKek);
}

/// Whoever reads while it is written sees the old keyring or the new one.
#[test]
fn the_keyring_is_rewritten_in_one_step() {
    let home = Home::new("c1");
    let one = id("openai", "main", 1);
    home.vault.put(&one, &secret(PLAIN), &here()).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (0..50).for_each(|now| home.vault.add_kek(&home.root, now).unwrap()));
        while !writer.is_finished() {
            assert_eq!(home.again().open(&one, &here()).unwrap().expose(), PLAIN);
        }
    });
    assert_eq!(files(&home.dir.path().join(DIR)).len(), 2);
}

#[test]
fn sweeping_erases_what_nothing_names() {
    let home = Home::new("c1");
    let (one, two) = (id("openai", "main", 1), id("openai", "main", 2));
    for id in [&one, &two] {
        home.vault.put(id, &secret(PLAIN), &here()).unwrap();
    }
    fs::write(home.dir.path().join("vault/secrets/.0123.tmp"), b"unfinished").unwrap();
    assert_eq!(home.vault.sweep(&BTreeSet::new()).unwrap(), 0);
    assert_eq!(home.vault.sweep(&BTreeSet::from([two.clone()])).unwrap(), 2);
    assert_eq!(home.vault.ids().unwrap(), [two]);
    assert_eq!(files(&home.dir.path().join(DIR)).len(), 2);
}

/// S9 on a disk: see `start.rs` for every case of the decision.
#[test]
fn starts_fresh_once_and_sealed_where_something_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let sources = at(dir.path());
    assert!(matches!(start(&sources, false, "c1", 0).unwrap(), Opened::Fresh(_)));
    assert!(matches!(start(&sources, true, "c1", 0).unwrap(), Opened::Ready(_)));
    let (root, keyring) = (dir.path().join("root.key"), dir.path().join("vault/keyring"));
    let begin = |has_data| start(&sources, has_data, "c1", 0).unwrap();
    let (right, sealed) = (fs::read(&root).unwrap(), fs::read(&keyring).unwrap());

    fs::remove_file(&root).unwrap();
    assert_eq!(reason(begin(false)), Sealed::NoRootKey { looked: vec![root.clone()] });
    assert!(!root.exists());
    let other = RootKey::make(&root).unwrap();
    assert!(matches!(RootKey::make(&root), Err(VaultError::Exists { .. })));
    assert!(matches!(reason(begin(true)), Sealed::WrongRootKey { found, .. } if found == other.name()));
    fs::write(&root, b"not a key").unwrap();
    assert_eq!(reason(begin(true)), Sealed::NotARootKey { path: root.clone() });
    fs::write(&root, &right).unwrap();
    assert!(matches!(reason(start(&sources, true, "c2", 0).unwrap()), Sealed::OtherCluster { .. }));
    for at in 0..sealed.len() {
        let mut bent = sealed.clone();
        bent[at] ^= 1;
        fs::write(&keyring, bent).unwrap();
        assert!(matches!(begin(true), Opened::Sealed(VaultError::Sealed(_))), "{at}");
    }
    fs::remove_file(&keyring).unwrap();
    assert_eq!(reason(begin(true)), Sealed::NoKeyring { path: keyring.clone() });
    assert!(!keyring.exists());
    fs::write(&keyring, &sealed).unwrap();
    assert!(matches!(begin(true), Opened::Ready(_)));
}

#[test]
fn a_secret_without_keyring_is_data() {
    let home = Home::new("c1");
    home.vault.put(&id("openai", "main", 1), &secret(PLAIN), &here()).unwrap();
    fs::remove_file(home.dir.path().join("vault/keyring")).unwrap();
    assert!(matches!(reason(home.start(false)), Sealed::NoKeyring { .. }));
    assert!(matches!(Home::new("c1").start(true), Opened::Ready(_)));
}

#[test]
fn a_keyring_is_never_made_over_another() {
    let home = Home::new("c1");
    let again = Vault::create(home.dir.path(), &home.root, "c1", 0);
    assert!(matches!(again, Err(VaultError::Exists { .. })));
    home.again();
}

#[test]
fn root_keys_are_looked_for_in_order_and_must_be_private() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    let file = RootKey::make(&place("given/key")).unwrap();
    let credential = RootKey::make(&place("credentials").join(CREDENTIAL)).unwrap();
    let own = RootKey::make(&place("home/root.key")).unwrap();
    let mut sources = Sources {
        file: Some(place("given/key")),
        credentials: Some(place("credentials")),
        home: place("home"),
    };
    let found = |sources: &Sources| RootKey::find(sources).unwrap().map(|root| root.name());
    assert_eq!(found(&sources), Some(file.name()));
    // Who names a file means it: no other takes its place.
    sources.file = Some(place("absent"));
    assert_eq!(found(&sources), None);
    sources.file = None;
    assert_eq!(found(&sources), Some(credential.name()));
    sources.credentials = Some(place("nowhere"));
    assert_eq!(found(&sources), Some(own.name()));

    fs::set_permissions(place("home/root.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let error = RootKey::find(&sources).unwrap_err();
    let cure = format!("chmod 600 {}", place("home/root.key").display());
    assert!(error.to_string().ends_with(&cure), "{error}");
    assert!(matches!(
        start(&sources, false, "c1", 0).unwrap(),
        Opened::Sealed(VaultError::Permissions { .. })
    ));
}

#[test]
fn who_may_own_a_root_key() {
    let own = rustix::process::geteuid().as_raw();
    let stranger = own + 4242;
    let table = [
        (own, 0o100_600, true),
        (own, 0o100_400, true),
        (own, 0o100_604, false),
        (0, 0o100_440, true),
        (0, 0o100_444, false),
        (stranger, 0o100_600, false),
    ];
    for (owner, mode, fine) in table {
        let checked = files::private(Path::new("root.key"), owner, mode);
        assert_eq!(checked.is_ok(), fine, "{owner} {mode:o}");
    }
}

#[test]
fn signs_and_verifies() {
    let home = Home::new("c1");
    let signature = home.vault.sign(b"report");
    let public = home.again().public_key();
    assert!(verify(&public, b"report", &signature));
    assert!(!verify(&public, b"another", &signature));
    assert!(!verify(&public, b"report", &signature[1..]));
    assert!(!verify(&Vault::ephemeral().unwrap().public_key(), b"report", &signature));
    assert!(!verify(b"short", b"report", &signature));
}

#[test]
fn too_large_is_refused_before_anything_is_written() {
    let home = Home::new("c1");
    let one = id("openai", "main", 1);
    let error = home.vault.put(&one, &Secret::new(vec![b'x'; files::FILE_LIMIT]), &here()).unwrap_err();
    assert!(matches!(error, VaultError::TooLarge { .. }));
    assert!(!home.file(&one).exists());
}

#[test]
fn nothing_prints_a_secret() {
    let home = Home::new("c1");
    let printed = format!("{:?} {:?} {:?}", home.vault, home.root, secret(PLAIN));
    assert_eq!(
        printed,
        format!("Vault(..) RootKey({}) Secret(..)", home.dir.path().join("root.key").display())
    );
    let keyring = format!("{:?}", home.vault.keyring.read());
    assert!(keyring.contains("Key(..)"));
}
