//! What comes back, what never does, and what lies on the disk.

use super::*;

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
