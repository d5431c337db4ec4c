//! The wrapping key's rotation, cut short after every write: each secret opens, with exactly one version that is there.

use super::*;

const COUNT: u32 = 5;

fn all() -> impl Iterator<Item = SecretId> {
    (1..=COUNT).map(|version| id("openai", "main", version))
}

fn filled() -> Home {
    let home = Home::new("c1");
    all().for_each(|id| home.vault.put(&id, &secret(PLAIN), &here()).unwrap());
    home
}

/// From disk, as a start after a crash does.
fn each_opens(home: &Home) {
    let again = home.again();
    let wrapped = again.wrapped().unwrap();
    assert_eq!(wrapped.values().sum::<usize>(), COUNT as usize, "{wrapped:?}");
    all().for_each(|id| assert_eq!(again.open(&id, &here()).unwrap().expose(), PLAIN));
}

#[test]
fn at_every_moment_each_secret_opens_and_the_old_version_goes_last() {
    let home = filled();
    home.vault.wrap_with(&home.root, 2, 0).unwrap();
    home.vault.wrap_with(&home.root, 2, 0).unwrap();
    assert_eq!(home.vault.wrapping().unwrap(), 2, "done again it does nothing");
    each_opens(&home);
    for (done, name) in home.vault.sealed().unwrap().into_iter().enumerate() {
        let wrapped = home.again().wrapped().unwrap();
        assert_eq!(wrapped, BTreeMap::from([(1, COUNT as usize - done), (2, done)]));
        let refused = home.vault.retire_before(&home.root, 2);
        assert!(matches!(refused, Err(VaultError::StillWraps { left }) if left == COUNT as usize - done));
        home.vault.rewrap(&name).unwrap();
        home.vault.rewrap(&name).unwrap();
        each_opens(&home);
    }
    assert_eq!(home.vault.not_under(2).unwrap(), []);
    home.vault.retire_before(&home.root, 2).unwrap();
    home.vault.retire_before(&home.root, 2).unwrap();
    each_opens(&home);
    assert_eq!(home.again().wrapped().unwrap(), BTreeMap::from([(2, COUNT as usize)]));
}

#[test]
fn what_does_not_open_keeps_the_old_version_and_what_was_erased_stays_so() {
    let home = filled();
    home.vault.wrap_with(&home.root, 2, 0).unwrap();
    let (bad, gone) = (id("openai", "main", 1), id("openai", "main", 2));
    let mut bytes = fs::read(home.file(&bad)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(home.file(&bad), bytes).unwrap();
    let names = home.vault.sealed().unwrap();
    home.vault.erase(&gone).unwrap();
    for name in names {
        let done = home.vault.rewrap(&name);
        assert_eq!(done.is_err(), name == bad.file());
    }
    assert!(!home.file(&gone).exists());
    assert_eq!(home.vault.not_under(2).unwrap(), [bad]);
    assert!(home.vault.retire_before(&home.root, 2).is_err());
}

#[test]
fn another_root_key_opens_it_from_then_on_and_the_old_one_does_not() {
    let home = filled();
    let other = RootKey::make(&home.dir.path().join("other.key")).unwrap();
    home.vault.reroot(&other).unwrap();
    assert_eq!(home.vault.root().unwrap().name(), other.name(), "the running one finds it too");
    assert!(matches!(reason(home.start(true)), Sealed::WrongRootKey { .. }));
    let sources = Sources { file: Some(other.path().to_owned()), ..at(home.dir.path()) };
    let Opened::Ready(vault) = start(&sources, true, "c1", 0).unwrap() else { panic!() };
    all().for_each(|id| assert_eq!(vault.open(&id, &here()).unwrap().expose(), PLAIN));
    vault.wrap_with(&vault.root().unwrap(), 2, 0).unwrap();
}
