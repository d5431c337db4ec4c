//! Every crossing, thing by thing, against losses.toml: what is listed is what is reported, and nothing else; and each
//! path that is named stands in the caller's own body.

use super::ground::{codecs, named, placeless, target};
use super::specimens::{add, plain};
use keyway_dialect::canon::Request;
use keyway_dialect::codec::{Codec, Envelope};
use keyway_dialect::losses::Thing;
use keyway_dialect::quirk::Quirks;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

#[derive(Deserialize)]
pub(crate) struct Listed {
    /// Thing to dialect to what only that dialect has of the kind.
    pub(crate) own: BTreeMap<String, BTreeMap<String, String>>,
    /// What callers of each dialect can say at all.
    says: BTreeMap<String, BTreeSet<String>>,
    /// What users read of each thing.
    meaning: BTreeMap<String, String>,
    loss: Vec<Loss>,
    /// What of a reply a caller does not hear.
    #[serde(default)]
    pub(crate) reply: Vec<ReplyLoss>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ReplyLoss {
    pub(crate) thing: String,
    pub(crate) to: String,
}

#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Loss {
    thing: String,
    /// None is every dialect that can say it.
    from: Option<String>,
    to: String,
    harmless: bool,
}

pub(crate) fn listed() -> &'static Listed {
    static LISTED: LazyLock<Listed> =
        LazyLock::new(|| toml::from_str(include_str!("../../losses.toml")).unwrap());
    &LISTED
}

/// The thing in the caller's own words; none if the dialect cannot say it.
pub(crate) fn said(codec: &dyn Codec, thing: Thing) -> Option<(Vec<u8>, Request)> {
    let quirks = Quirks::default();
    let mut specimen = plain(codec.dialect());
    if !add(thing, &mut specimen) {
        return None;
    }
    let encoded = codec.encode_request(&specimen, &target(&quirks)).ok()?;
    let envelope = Envelope { model: "asked-model", stream: true };
    let decoded = codec.decode_request(&encoded.body, &envelope).unwrap();
    let same = Request { model: specimen.model.clone(), ..placeless(decoded.clone()) } == specimen;
    (encoded.lost.is_empty() && same).then(|| (encoded.body.to_vec(), decoded))
}

/// What `to` reports of a request, and where.
fn lost(request: &Request, to: &dyn Codec) -> BTreeMap<Thing, (bool, String)> {
    let quirks = Quirks::default();
    match to.encode_request(request, &target(&quirks)) {
        Ok(encoded) => encoded.lost.into_iter().map(|lost| (lost.thing, (true, lost.path))).collect(),
        Err(unsupported) => BTreeMap::from([(unsupported.thing, (false, unsupported.path))]),
    }
}

#[test]
fn what_callers_can_say_is_listed() {
    let listed = listed();
    for (codec, name) in codecs() {
        let says: BTreeSet<String> = Thing::ALL
            .iter()
            .filter(|thing| said(codec, **thing).is_some())
            .map(|thing| thing.as_str().to_owned())
            .collect();
        assert_eq!(listed.says.get(name), Some(&says), "says.{name} of losses.toml");
    }
}

#[test]
fn what_a_crossing_loses_is_listed_and_nothing_else_is() {
    let mut found = BTreeSet::new();
    let mut astray = Vec::new();
    for (from, from_name) in codecs() {
        for (to, to_name) in codecs().into_iter().filter(|(to, _)| to.dialect() != from.dialect()) {
            for thing in Thing::ALL {
                let Some((body, request)) = said(from, *thing) else { continue };
                for (lost, (harmless, path)) in lost(&request, to) {
                    assert_eq!(lost.is_harmless_to(to.dialect()), harmless);
                    let text = std::str::from_utf8(&body).unwrap();
                    let missing =
                        (!stands(&body, &path)).then(|| format!("{path:?} of {from_name} is not in {text}"));
                    astray.extend(missing);
                    // One thing brings along at most what it is a part of.
                    found.insert((
                        lost.as_str().to_owned(),
                        from_name.to_owned(),
                        to_name.to_owned(),
                        harmless,
                    ));
                }
            }
        }
    }
    assert!(astray.is_empty(), "{astray:#?}");
    let says = |from: &str, thing: &str| listed().says.get(from).is_some_and(|says| says.contains(thing));
    let mut expected = BTreeSet::new();
    for loss in &listed().loss {
        for (_, from) in codecs() {
            let meant = loss.from.as_deref().is_none_or(|only| only == from);
            if meant && from != loss.to && says(from, &loss.thing) {
                expected.insert((loss.thing.clone(), from.to_owned(), loss.to.clone(), loss.harmless));
            }
        }
    }
    let missing: Vec<_> = found.difference(&expected).collect();
    let untrue: Vec<_> = expected.difference(&found).collect();
    assert!(
        missing.is_empty() && untrue.is_empty(),
        "not listed: {missing:#?}\nlisted but not lost: {untrue:#?}"
    );
}

#[test]
fn every_row_names_what_there_is() {
    let things: BTreeSet<&str> = Thing::ALL.iter().map(|thing| thing.as_str()).collect();
    let told: BTreeSet<&str> = listed().meaning.keys().map(String::as_str).collect();
    assert_eq!(told, things, "meaning");
    for loss in &listed().loss {
        assert!(things.contains(loss.thing.as_str()), "{loss:?}");
        let thing = Thing::ALL.iter().find(|thing| thing.as_str() == loss.thing).unwrap();
        let target = named(&loss.to).dialect();
        assert_eq!(thing.is_harmless_to(target), loss.harmless, "{loss:?}");
        loss.from.as_deref().map(named);
        let sayable = listed().says.iter().any(|(from, says)| {
            *from != loss.to
                && loss.from.as_ref().is_none_or(|only| only == from)
                && says.contains(&loss.thing)
        });
        assert!(sayable, "nobody can say it: {loss:?}");
    }
}

/// True if the JSON path leads somewhere in the body.
fn stands(body: &[u8], path: &str) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap();
    let mut at = Some(&body);
    for step in path.split('.') {
        let (name, indices) = step.split_once('[').unwrap_or((step, ""));
        at = at.and_then(|at| at.get(name));
        for index in indices.split(['[', ']']).filter(|index| !index.is_empty()) {
            at = at.and_then(|at| at.get(index.parse::<usize>().unwrap()));
        }
    }
    at.is_some()
}
