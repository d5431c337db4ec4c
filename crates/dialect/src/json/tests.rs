use super::{Fields, Json, LIST_LIMIT, MEMBERS_LIMIT, Malformed, Value};

fn fields(body: &str) -> Result<Fields<'_>, Malformed> {
    Value::parse(body.as_bytes()).and_then(Value::fields)
}

#[test]
fn what_was_not_taken_is_left_over_in_order() {
    let mut object = fields(r#"{"b":1,"a":"x","n":null,"c":[ 1 ]}"#).unwrap();
    assert_eq!(object.text("a").unwrap().as_deref(), Some("x"));
    let rest: Vec<_> =
        object.rest().into_iter().map(|extra| (extra.name, extra.raw.as_str().to_owned())).collect();
    assert_eq!(rest, [("b".into(), "1".into()), ("n".into(), "null".into()), ("c".into(), "[ 1 ]".into())]);
}

#[test]
fn a_fault_names_its_path() {
    let bad = fields(r#"{"messages":[{},{"content":[{"text":5}]}]}"#).unwrap().with("messages", |list| {
        list.each(|_, message| {
            message.fields()?.with("content", |list| list.each(|_, part| part.fields()?.text("text")))
        })
    });
    let bad = bad.unwrap_err();
    assert_eq!(bad.to_string(), "messages[1].content[0].text: must be a string");
}

#[test]
fn bounds_and_repeats_are_refused() {
    assert!(fields(r#"{"a":1,"a":2}"#).is_err());
    assert!(fields(r#"{"a":1,"\u0061":2}"#).is_err());
    let many: Vec<String> = (0..=MEMBERS_LIMIT).map(|at| format!("\"k{at}\":0")).collect();
    assert!(fields(&format!("{{{}}}", many.join(","))).is_err());
    let list = format!("[{}0]", "0,".repeat(LIST_LIMIT));
    assert!(Value::parse(list.as_bytes()).unwrap().each(|_, item| item.count()).is_err());
}

#[test]
fn writes_commas_where_they_belong() {
    let mut out = Vec::new();
    let mut json = Json::new(&mut out);
    json.open_object().member("a", "x\"y").key("l").open_list().count(1).open_object().close_object().null();
    json.close_list().maybe("n", None).key("e").open_list().close_list().key("f").number(0.5).close_object();
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"a":"x\"y","l":[1,{},null],"e":[],"f":0.5}"#);
}

#[test]
fn an_object_without_members_is_not_written() {
    let mut out = Vec::new();
    let mut json = Json::new(&mut out);
    json.open_object();
    let none = |_: &mut Json<'_>| Ok::<(), ()>(());
    json.object_if_any("a", none).unwrap();
    let one = |json: &mut Json<'_>| {
        json.member("k", "v");
        Ok::<(), ()>(())
    };
    json.object_if_any("b", one).unwrap();
    json.object_if_any("c", none).unwrap();
    json.key("d").null().close_object();
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"b":{"k":"v"},"d":null}"#);
}
