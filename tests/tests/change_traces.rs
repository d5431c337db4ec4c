//! A change of configuration is one trace: the command, the admin API's answer, compile, journal, push, one apply per
//! replica, and a link from the first attempt with a key that it brought.

use keyway_e2e::collector::{Collector, Span};
use keyway_e2e::gateway::{CHAT, Gateway, MAIN_KEY, Outcome, SPARE_KEY, TOKEN, chat, yaml, yaml_with};
use keyway_testkit::process::Keyway;
use keyway_testkit::provider::Provider;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const REPLICAS: u32 = 2;
/// Commits of one rotation with a probe: staged, probed, activated, withdrawn, retired, done.
const COMMITS: usize = 6;
/// The command, the API's answer, each commit's two, and two pushes with an apply on each replica.
const ROTATION_SPANS: usize = 2 + 2 * COMMITS + 2 * 3;
/// Requests after the change: enough that one is a replica's second.
const REQUESTS: usize = 6;

fn traced(provider: &Provider, collector: &Collector) -> Outcome<Gateway> {
    let up = Keyway::up().config(yaml(provider)).replicas(REPLICAS);
    Gateway::of(up.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()).env("OTEL_BSP_SCHEDULE_DELAY", "50"))
}

fn apply(gateway: &Gateway, before: &[&str], yaml: &str) -> Outcome {
    let file = gateway.keyway.write("next.yaml", yaml)?.display().to_string();
    let ran = gateway.keyway.cli(&[before, &["apply", "--wait", "-f", &file]].concat())?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    Ok(())
}

/// The one of that name.
fn one(spans: &[Span], name: &str) -> Outcome<Span> {
    let mut found = spans.iter().filter(|span| span.text("name") == name);
    let span = found.next().ok_or_else(|| format!("no span {name} in {spans:?}"))?;
    assert!(found.next().is_none(), "two spans {name}: {spans:?}");
    Ok(span.clone())
}

#[track_caller]
fn is_child(span: &Span, parent: &Span, service: &str) {
    assert_eq!(span.text("parent"), parent.text("id"), "{span:?}");
    assert_eq!(span.text("resource/service.name"), service, "{span:?}");
    assert!(span.nanos("start") >= parent.nanos("start") && !span.is_error(), "{span:?} in {parent:?}");
}

/// The apply spans of one change, each replica's once, below its push.
fn applied(spans: &[Span], push: &Span, version: &str) -> BTreeSet<String> {
    let applies: Vec<&Span> = spans.iter().filter(|span| span.text("name") == "apply").collect();
    for apply in &applies {
        is_child(apply, push, "keyway-dataplane");
        apply.assert(&[("keyway.snapshot", version), ("keyway.result", "ack")]);
        assert_eq!(apply.attribute("keyway.replica"), apply.text("resource/service.instance.id"));
    }
    let replicas: BTreeSet<String> = applies.iter().map(|apply| apply.attribute("keyway.replica")).collect();
    assert_eq!((applies.len(), replicas.len()), (2, 2), "{spans:?}");
    replicas
}

#[tokio::test]
async fn a_change_is_one_trace_from_the_command_to_the_first_request() -> Outcome {
    let provider = Provider::start()?;
    let mut collector = Collector::start()?;
    let gateway = traced(&provider, &collector)?;
    assert_eq!(gateway.ask(CHAT, &chat("sim/m")).await?.status, 200);
    let to = collector.url();
    apply(&gateway, &["--otlp-endpoint", &to], &yaml(&provider).replacen(MAIN_KEY, SPARE_KEY, 1))?;

    let command = collector.named("keyway apply")?;
    assert_eq!((command.text("parent"), command.text("resource/service.name")), ("", "keyway"));
    let spans = collector.spans(command.text("trace"), 7)?;
    let server = one(&spans, "POST /api/v1/apply")?;
    is_child(&server, &command, "keyway-controlplane");
    server.assert(&[
        ("http.request.method", "POST"),
        ("http.route", "/api/v1/apply"),
        ("http.response.status_code", "200"),
    ]);
    let [compile, journal, push] = ["compile", "journal", "push"].map(|name| one(&spans, name));
    let (compile, journal, push) = (compile?, journal?, push?);
    for step in [&compile, &journal, &push] {
        is_child(step, &server, "keyway-controlplane");
    }
    assert!(compile.nanos("end") <= journal.nanos("start") && journal.nanos("end") <= push.nanos("start"));
    let version = push.attribute("keyway.snapshot");
    push.assert(&[("keyway.replicas", "2"), ("keyway.acked", "2"), ("keyway.refused", "0")]);
    let replicas = applied(&spans, &push, &version);
    assert_eq!(spans.len(), 7, "{spans:?}");

    first_requests(&gateway, &mut collector, (&command, &replicas)).await?;
    let (printed, admin) = (collector.printed(), gateway.keyway.admin_token()?);
    for secret in [TOKEN, MAIN_KEY, SPARE_KEY, &admin] {
        assert!(!printed.contains(secret), "{secret} stands in a span");
    }
    Ok(())
}

/// The names of what is right below `parent`, each with how often it is there.
fn below(spans: &[Span], parent: &Span) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    for span in spans.iter().filter(|span| span.text("parent") == parent.text("id")) {
        *names.entry(span.text("name").to_owned()).or_default() += 1;
    }
    names
}

/// What is right below one push.
fn of_push(spans: &[Span], push: &Span) -> Vec<Span> {
    spans.iter().filter(|span| span.text("parent") == push.text("id")).cloned().collect()
}

#[tokio::test]
async fn a_rotation_is_one_trace_from_the_command_to_the_first_request_with_the_new_key() -> Outcome {
    let provider = Provider::start()?;
    let mut collector = Collector::start()?;
    let gateway = traced(&provider, &collector)?;
    assert_eq!(gateway.ask(CHAT, &chat("sim/m")).await?.status, 200);
    let to = collector.url();
    let args = ["--otlp-endpoint", &to, "key", "rotate", "sim/main", "--from-env", "NEW_KEY"];
    let args = [&args[..], &["--overlap", "0s", "--wait", "--output", "json"]].concat();
    let ran = gateway.keyway.cli_with(&args, &[("NEW_KEY", SPARE_KEY)])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");

    let command = collector.named("keyway key rotate")?;
    assert_eq!((command.text("parent"), command.text("resource/service.name")), ("", "keyway"));
    let spans = collector.spans(command.text("trace"), ROTATION_SPANS)?;
    assert_eq!(spans.len(), ROTATION_SPANS, "{spans:?}");
    let server = one(&spans, "POST /api/v1/keys/{provider}/{key}/rotate")?;
    is_child(&server, &command, "keyway-controlplane");
    server.assert(&[("http.response.status_code", "200")]);
    // Activated and withdrawn: two of the commits change what replicas serve.
    let steps = [("compile", COMMITS), ("journal", COMMITS), ("push", 2)];
    assert_eq!(
        below(&spans, &server),
        steps.map(|(name, times)| (name.to_owned(), times)).into(),
        "{spans:?}"
    );
    let mut pushes: Vec<&Span> = spans.iter().filter(|span| span.text("name") == "push").collect();
    pushes.sort_by_key(|push| push.nanos("start"));
    for push in &pushes {
        push.assert(&[("keyway.replicas", "2"), ("keyway.acked", "2"), ("keyway.refused", "0")]);
        applied(&of_push(&spans, push), push, &push.attribute("keyway.snapshot"));
    }
    let view: Value = serde_json::from_str(ran.stdout.lines().last().unwrap_or_default())?;
    let activated = pushes.first().ok_or("no push")?;
    assert_eq!(view.get("snapshot").and_then(Value::as_str), Some(&*activated.attribute("keyway.snapshot")));

    let replicas = applied(&of_push(&spans, activated), activated, &activated.attribute("keyway.snapshot"));
    first_requests(&gateway, &mut collector, (&command, &replicas)).await?;
    let (printed, admin) = (collector.printed(), gateway.keyway.admin_token()?);
    for secret in [TOKEN, MAIN_KEY, SPARE_KEY, &admin] {
        assert!(!printed.contains(secret), "{secret} stands in a span");
    }
    Ok(())
}

/// The first attempt with the new key is linked to the change, on each replica once, and no other is.
async fn first_requests(
    gateway: &Gateway,
    collector: &mut Collector,
    (command, replicas): (&Span, &BTreeSet<String>),
) -> Outcome {
    let applies: Vec<Span> = collector.all().filter(|span| span.text("name") == "apply").collect();
    let mut linked = Vec::new();
    for number in 0..REQUESTS {
        let trace = format!("{:032x}", number + 1);
        let context = format!("traceparent: 00-{trace}-b7ad6b7169203331-01\r\n");
        assert_eq!(gateway.ask_with(CHAT, &context, &chat("sim/m")).await?.status, 200);
        let attempt = one(&collector.spans(&trace, 2)?, "chat m")?;
        assert_eq!(attempt.attribute("keyway.key"), "sim/main/2");
        for (trace, id) in attempt.links() {
            assert_eq!(trace, command.text("trace"), "{attempt:?}");
            let replica = attempt.text("resource/service.instance.id").to_owned();
            let apply = applies.iter().find(|apply| apply.text("id") == id).ok_or("a link to no apply")?;
            assert_eq!(apply.attribute("keyway.replica"), replica);
            linked.push((number, replica));
        }
    }
    let (first, _) = linked.first().ok_or("no request is linked to the change")?;
    let each: BTreeSet<String> = linked.iter().map(|(_, replica)| replica.clone()).collect();
    assert_eq!((*first, each.len()), (0, linked.len()), "{linked:?}");
    assert!(each.is_subset(replicas), "{each:?} {replicas:?}");
    Ok(())
}

#[tokio::test]
async fn a_command_without_a_collector_names_the_trace_and_looking_is_not_traced() -> Outcome {
    let provider = Provider::start()?;
    let mut collector = Collector::start()?;
    let gateway = traced(&provider, &collector)?;
    // Looks, and a change that a replica needs no new key for.
    assert_eq!(gateway.keyway.cli(&["client", "list"])?.code, Some(0));
    let alias = "  alias-m: { targets: [{ provider: sim, model: m }] }";
    apply(&gateway, &[], &yaml_with(&provider, alias))?;
    let push = collector.named("push")?;
    let spans = collector.spans(push.text("trace"), 6)?;
    let server = one(&spans, "POST /api/v1/apply")?;
    let (named, sent) =
        (server.text("parent"), spans.iter().any(|span| span.text("id") == server.text("parent")));
    assert!(!named.is_empty() && !sent, "{spans:?}");
    applied(&spans, &push, &push.attribute("keyway.snapshot"));
    // What is refused is a trace too, and ends where it was refused.
    let broken = "  broken: { targets: [{ provider: nobody, model: m }] }";
    let file = gateway.keyway.write("bad.yaml", &yaml_with(&provider, broken))?.display().to_string();
    let refused = gateway.keyway.cli(&["--otlp-endpoint", &collector.url(), "apply", "-f", &file])?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let command = collector.named("keyway apply")?;
    let spans = collector.spans(command.text("trace"), 3)?;
    one(&spans, "POST /api/v1/apply")?.assert(&[("http.response.status_code", "422")]);
    one(&spans, "compile")?.assert(&[("error.type", "refused")]);
    assert!(command.is_error() && spans.len() == 3, "{spans:?}");
    assert_eq!(gateway.ask(CHAT, &chat("sim/m")).await?.status, 200);
    let attempt = collector.named("chat m")?;
    assert!(attempt.links().is_empty(), "{attempt:?}");
    let routes: BTreeSet<String> = collector
        .all()
        .filter(|span| span.text("resource/service.name") == "keyway-controlplane")
        .map(|span| span.attribute("http.route"))
        .filter(|route| !route.is_empty())
        .collect();
    assert_eq!(routes, BTreeSet::from(["/api/v1/apply".to_owned()]));
    Ok(())
}

#[tokio::test]
async fn no_collector_keeps_a_command_from_its_work() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    // Takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let silent = format!("http://{}", silent.local_addr()?);
    let began = Instant::now();
    let made = gateway.keyway.cli(&["--otlp-endpoint", &silent, "client", "create", "a"])?;
    assert_eq!((made.code, made.stdout.lines().count()), (Some(0), 1), "{made:?}");
    // One second for its span; the rest is a busy machine's.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let made = gateway.keyway.cli(&["--otlp-endpoint", "not a url", "client", "create", "b"])?;
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(
        made.stderr.contains("this command is not traced: OTEL_EXPORTER_OTLP_ENDPOINT not a url"),
        "{made:?}"
    );
    Ok(())
}
