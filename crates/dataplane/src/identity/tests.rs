use super::*;

fn identity() -> Identity {
    let request = Request::make("edge-1").unwrap();
    let enrolled = Enrolled {
        cluster: "c".to_owned(),
        node: "edge-1".to_owned(),
        chain: vec![vec![1]],
        life_seconds: 86_400,
        ..Enrolled::default()
    };
    request.accepted(enrolled, vec!["cp:8601".to_owned()], 1_000)
}

#[test]
fn an_identity_comes_back_from_its_file_and_shows_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node-keys").join("edge-1.identity");
    assert!(Identity::read(&path).unwrap().is_none());
    let one = identity();
    one.write(&path).unwrap();
    let read = Identity::read(&path).unwrap().unwrap();
    assert_eq!(read.encode().expose(), one.encode().expose());
    assert_eq!((read.node(), read.cluster(), read.addresses()), ("edge-1", "c", &["cp:8601".to_owned()][..]));
    assert_eq!(format!("{read:?}"), "Identity(edge-1)");
    assert_eq!(read.left(1_000 + 86_000), Duration::from_secs(400));
    assert_eq!(Identity::from_text(&one.text()).unwrap().encode().expose(), one.encode().expose());
    assert_eq!(read.left(2_000_000), Duration::ZERO);
}

#[test]
fn what_is_cut_or_open_to_others_is_no_identity() {
    use std::os::unix::fs::PermissionsExt;
    let whole = identity().encode();
    for cut in [0, 1, whole.expose().len() / 2] {
        assert!(Identity::decode(&whole.expose()[..cut]).is_none(), "{cut}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity");
    identity().write(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Identity::read(&path), Err(IdentityError::Unusable(_))));
}

#[test]
fn tokens_are_read_strictly_and_never_shown() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let of = |pin: usize, secret: &[u8]| {
        let token = keyway_proto::fleet::v1::JoinToken {
            root_sha256: vec![7; pin],
            secret: secret.to_vec(),
            addresses: vec!["a:1".to_owned()],
        };
        format!("kwj_{}", URL_SAFE_NO_PAD.encode(token.encode_to_vec()))
    };
    let token = JoinToken::parse(&format!(" {}\n", of(32, b"secret"))).unwrap();
    assert_eq!(token.addresses(), ["a:1"]);
    assert_eq!(format!("{token:?}"), "JoinToken([\"a:1\"])");
    for bad in ["", "kwj_", "kw_abc", "kwj_%%", &of(31, b"secret"), &of(32, b"")] {
        assert_eq!(JoinToken::parse(bad).unwrap_err(), BadToken, "{bad}");
    }
}
