//! Root key, keyring and start: what is found, made, and left alone.

use super::*;

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
    // Beside the keyring too, whatever is known.
    fs::write(home.dir.path().join("vault/.4567.tmp"), b"unfinished").unwrap();
    assert_eq!(home.vault.sweep(&BTreeSet::new()).unwrap(), 1);
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
