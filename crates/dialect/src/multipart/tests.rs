use super::{Form, PARTS_LIMIT, boundary, rewrite, scan};
use crate::scan::{Malformed, Reason};
use bytes::Bytes;
use proptest::prelude::*;

const FORM: &str = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a;\\\"model\\\".wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n--no boundary\r\n\r\n--B\r\ncontent-disposition: form-data; name=model\r\n\r\nwhisper-1\r\n--B \r\nX: y\r\nContent-Disposition: form-data; filename=\"\"; name=\"stream\"\r\n\r\nTrue\r\n--B--\r\n";

fn field(name: &str, value: &str) -> String {
    format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

fn reason(body: &str) -> Reason {
    scan(body.as_bytes(), "B").unwrap_err().reason
}

#[test]
fn finds_model_and_stream() {
    let form = scan(FORM.as_bytes(), "B").unwrap();
    assert_eq!(form.model_name(FORM.as_bytes()), Some("whisper-1"));
    assert_eq!((form.stream, form.forbidden), (Some(true), None));
    assert_eq!(scan(b"--B--\r\n", "B"), Ok(Form::default()));
    let forbidden = field("base_url", "http://x") + "--B--";
    assert_eq!(scan(forbidden.as_bytes(), "B").unwrap().forbidden, Some("base_url"));
}

#[test]
fn refuses_what_could_be_read_in_two_ways() {
    let twice = |name: &str| format!("{}{}--B--", field(name, "true"), field(name, "true"));
    assert_eq!(reason(&twice("model")), Reason::RepeatedKey);
    assert_eq!(reason(&twice("stream")), Reason::RepeatedKey);
    assert_eq!(reason(&(field("stream", "maybe") + "--B--")), Reason::WrongType("a boolean"));
    assert_eq!(reason(&(field("MODEL", "x") + "--B--")), Reason::OtherCase("model"));
    assert_eq!(reason(""), Reason::BadForm);
    assert_eq!(reason("no boundary at all"), Reason::BadForm);
    assert_eq!(reason(&field("model", "x")), Reason::Truncated, "no closing boundary");
    assert_eq!(reason("--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx"), Reason::Truncated);
    assert_eq!(reason("--B\r\nContent-Type: x\r\n\r\nx\r\n--B--"), Reason::BadForm);
    assert_eq!(reason("--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--"), Reason::BadForm);
    assert_eq!(reason(&(field("a", "x").repeat(PARTS_LIMIT + 1) + "--B--")), Reason::TooManyParts);
    assert!(scan((field("a", "x").repeat(PARTS_LIMIT) + "--B--").as_bytes(), "B").is_ok());
    let bad = [field("model", "").as_bytes().strip_suffix(b"\r\n").unwrap(), b"\xff\r\n--B--"].concat();
    assert!(matches!(scan(&bad, "B"), Err(Malformed { reason: Reason::NotUtf8, .. })));
}

#[test]
fn only_the_model_changes() {
    let body = Bytes::from_static(FORM.as_bytes());
    let form = scan(&body, "B").unwrap();
    let other = rewrite(body.clone(), &form, "gpt-4o-transcribe");
    assert_eq!(other.parts().concat(), FORM.replace("whisper-1", "gpt-4o-transcribe").as_bytes());
    let same = rewrite(body.clone(), &form, "whisper-1");
    assert_eq!((same.parts().len(), same.parts()[0].as_ptr()), (1, body.as_ptr()));
}

/// Each names a model for some server that others do not see.
#[test]
fn refuses_a_name_that_servers_read_differently() {
    let part = |headers: &str, content: &str| format!("--B\r\n{headers}\r\n\r\n{content}\r\n--B--\r\n");
    let named = |parameters: &str| part(&format!("Content-Disposition: form-data; {parameters}"), "m");
    let disposition = "Content-Disposition: form-data; name=\"x\"";
    let hidden = "Content-Disposition: form-data; name=\"model\"\r\n\r\nother";
    for body in [
        named("name=\"x\"; name=\"model\""),
        named("name=\"x\"; NAME =model"),
        named("name=\"x\"; name*=utf-8''model"),
        named("name*0=mo; name*1=del"),
        named("name=\"mod\\el\""),
        named("name=\"x\"; y; name=\"model\""),
        named("name=\"x\"; y=a\"; name=\"model\""),
        part(&format!("{disposition}\r\nContent-Disposition: form-data; name=\"model\""), "m"),
        part(&format!("{disposition}\r\ncontent-disposition : form-data; name=\"model\""), "m"),
        part(&format!("{disposition}\r\n ; name=\"model\""), "m"),
        part(&format!("X: y\nContent-Disposition: form-data; name=\"model\"\r\n{disposition}"), "m"),
        part(disposition, &format!("a\n--B\r\n{hidden}")),
        part(disposition, &format!("--B\r\n{hidden}")),
        format!("--A\r\n{hidden}\r\n--A--\r\n{}", part(disposition, "m")),
        format!("\r\n{}", part(disposition, "m")),
        format!("{}--A\r\n{hidden}\r\n--A--\r\n", part(disposition, "m")),
        part(disposition, &format!("a\r\n--B--x\r\n{hidden}")),
    ] {
        assert_eq!(reason(&body), Reason::BadForm, "{body}");
    }
    let told = named("filename*=utf-8''a.wav; name=\"model\"; filename=\"a\\\\b.wav\";");
    assert_eq!(scan(told.as_bytes(), "B").unwrap().model_name(told.as_bytes()), Some("m"));
}

#[test]
fn reads_the_boundary() {
    for (kind, read) in [
        ("multipart/form-data; boundary=abc", Some("abc")),
        ("Multipart/Form-Data; charset=utf-8; Boundary=\"a=b\";", Some("a=b")),
        ("application/json; boundary=a", None),
        ("text/plain", None),
        ("", None),
    ] {
        assert_eq!(boundary(kind), Ok(read), "{kind}");
    }
    for bad in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"a b",
        "multipart/form-data; boundary=\"a b\"",
        "multipart/form-data; boundary=\"a;b\"",
        "multipart/form-data; boundary=a\\b",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=a; BOUNDARY =a",
        "multipart/form-data; boundary=a; boundary*=b",
        "multipart/form-data; boundary*0=a",
        "multipart/mixed; boundary=a",
        "application/json, multipart/form-data; boundary=a",
        "Application/X-WWW-Form-Urlencoded",
        "application/x-www-form-urlencoded; charset=utf-8",
    ] {
        assert_eq!(boundary(bad).map_err(|bad| bad.reason), Err(Reason::BadFormType), "{bad}");
    }
    assert!(boundary(&format!("multipart/form-data; boundary={}", "x".repeat(71))).is_err());
}

proptest! {
    #[test]
    fn never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>(), end in any::<prop::sample::Index>()) {
        let mut body = FORM.as_bytes().to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        body.truncate(end.index(body.len()) + 1);
        if let Ok(form) = scan(&body, "B") {
            let _ = rewrite(body.into(), &form, "other");
        }
    }
}
