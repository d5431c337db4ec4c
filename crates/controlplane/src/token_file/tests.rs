use super::*;

#[test]
fn made_once_for_its_owner_only_and_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("a/b");
    private_dir(&home).unwrap();
    private_dir(&home).unwrap();
    let path = home.join("admin.token");
    let made = token_file(&path).unwrap();
    assert_eq!(fs::metadata(&home).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(token_file(&path).unwrap().expose(), made.expose());
}

#[test]
fn what_is_no_token_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    for text in ["", "too short\n", "twenty-four characters and spaces\n"] {
        let path = dir.path().join("t");
        fs::write(&path, text).unwrap();
        assert_eq!(token_file(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    assert!(token_file(&dir.path().join("no/such/dir")).is_err());
}
