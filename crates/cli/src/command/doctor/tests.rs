//! What is seen from here, by tables.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::own::{builds, clock, connection, files, way};
use crate::home::Home;

#[test]
fn the_way_the_clock_and_the_builds() {
    let cases = [
        (way("https://keyway.internal"), "ok", "TLS"),
        (way("http://127.0.0.1:8600"), "ok", "this machine"),
        (way("http://10.0.0.7:8600"), "fail", "in clear"),
        (connection("http://h", Duration::from_millis(3)), "ok", "3 ms"),
        (connection("http://h", Duration::from_millis(1001)), "warn", "1001 ms"),
        (builds("1.2.3", "1.2.3"), "ok", "1.2.3"),
        (builds("1.2.3", "1.3.0"), "warn", "1.3.0"),
        (clock(100_000, 105_000), "ok", "agree"),
        (clock(100_000, 105_001), "warn", "5 s behind"),
        (clock(1_400_000, 1_000_000), "fail", "400 s ahead"),
    ];
    for (finding, level, words) in cases {
        assert_eq!(finding.level, level, "{finding:?}");
        assert!(finding.what.contains(words), "{finding:?}");
    }
}

#[test]
fn files_that_others_can_read_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::new(Some(folder.path().to_owned())).expect("a home");
    assert!(files(&home)[0].what.contains("none is kept"));
    home.write("admin.token", "t").expect("written");
    assert_eq!(files(&home)[0].level, "ok");
    let path = home.path("admin.token");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("changed");
    let found = files(&home);
    assert_eq!((found.len(), found[0].level), (1, "fail"), "{found:?}");
    assert!(found[0].what.contains("640") && found[0].what.contains("admin.token"), "{found:?}");
}
