use super::{Ask, Domain, Room, Told, WHOLE};
use http::{HeaderMap, HeaderValue};
use keyway_proto::snapshot::v1::{self as wire, LimitUnit};
use keyway_snapshot::LimitHeaders;
use std::time::Duration;

const MODEL: &str = "m";

fn names() -> Vec<LimitHeaders> {
    let name = |text: &str| text.parse().unwrap();
    let of = |unit, word: &str| LimitHeaders {
        unit,
        limit: Some(name(&format!("x-ratelimit-limit-{word}"))),
        remaining: name(&format!("x-ratelimit-remaining-{word}")),
        reset: Some(name(&format!("x-ratelimit-reset-{word}"))),
        fixed: false,
    };
    vec![of(LimitUnit::Requests, "requests"), of(LimitUnit::Tokens, "tokens")]
}

fn headers(pairs: &[(&'static str, u64)]) -> HeaderMap {
    let values = pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from(*value)));
    values.collect()
}

fn requests(limit: u64, remaining: u64, reset: u64) -> HeaderMap {
    headers(&[
        ("x-ratelimit-limit-requests", limit),
        ("x-ratelimit-remaining-requests", remaining),
        ("x-ratelimit-reset-requests", reset),
    ])
}

fn learn(domain: &Domain, headers: &HeaderMap, sent: u64, now: u64) {
    let names = names();
    domain.learn(MODEL, &Told { headers, names: &names, sent, before: None }, || (now, Duration::ZERO));
}

fn ask(client: &str) -> Ask {
    Ask::new(client, 400, 9)
}

/// Of the only client that there is.
fn alone() -> Ask {
    Ask::new("c", 400, 1)
}

#[test]
fn a_limit_that_is_told_keeps_requests_back_until_it_has_grown() {
    let domain = Domain::new("p/org".to_owned());
    let room = |now| domain.room(MODEL, &alone(), now);
    assert_eq!(room(0), Room::Left(WHOLE), "nothing is known");
    learn(&domain, &requests(60, 50, 10), 1_000, 1_000);
    assert!(domain.is_ample(1_000), "five sixths are plenty");
    learn(&domain, &requests(60, 6, 54), 2_000, 2_000);
    assert_eq!(room(2_000), Room::Left(100));
    assert_eq!(domain.room("other", &ask("c"), 2_000), Room::Left(WHOLE), "another model is another limit");
    learn(&domain, &requests(60, 0, 60), 3_000, 3_000);
    assert_eq!(room(3_000), Room::Out(4_001));
    assert_eq!(room(4_100), Room::Left(18), "one has grown since");
    assert_eq!(room(63_000), Room::Left(WHOLE));
}

#[test]
fn what_was_sent_since_the_last_word_counts() {
    let domain = Domain::new("p/org".to_owned());
    learn(&domain, &requests(100, 3, 600), 1_000, 1_000);
    for left in [30, 20, 10] {
        assert_eq!(domain.room(MODEL, &alone(), 1_000), Room::Left(left));
        assert!(domain.begin(MODEL, &alone(), 1_000).is_some());
    }
    assert!(matches!(domain.room(MODEL, &alone(), 1_000), Room::Out(_)));
    // The reply to the first of them says that two are left, and knows nothing of the other two.
    let before = domain.begin(MODEL, &alone(), 1_001);
    let (names, told) = (names(), requests(100, 2, 600));
    let word = Told { headers: &told, names: &names, sent: 1_001, before };
    domain.learn(MODEL, &word, || (1_002, Duration::ZERO));
    assert_eq!(domain.room(MODEL, &alone(), 1_002), Room::Left(20));
    learn(&domain, &requests(100, 90, 600), 900, 1_003);
    assert_eq!(domain.room(MODEL, &alone(), 1_003), Room::Left(20), "an older word changes nothing");
}

#[test]
fn tokens_count_by_the_size_of_the_request() {
    let domain = Domain::new("p/org".to_owned());
    let told = headers(&[
        ("x-ratelimit-limit-tokens", 10_000),
        ("x-ratelimit-remaining-tokens", 500),
        ("x-ratelimit-reset-tokens", 57),
    ]);
    learn(&domain, &told, 0, 0);
    assert!(matches!(domain.room(MODEL, &Ask::new("c", 1_200, 1), 0), Room::Left(_)), "300 tokens");
    assert!(matches!(domain.room(MODEL, &Ask::new("c", 2_400, 1), 0), Room::Out(_)), "600 tokens");
}

#[test]
fn near_the_end_who_had_more_gives_way_to_who_had_less() {
    let domain = Domain::new("p/org".to_owned());
    learn(&domain, &requests(100, 40, 60), 0, 0);
    for _ in 0..25 {
        domain.begin(MODEL, &ask("loud"), 10);
    }
    domain.begin(MODEL, &ask("quiet"), 10);
    learn(&domain, &requests(100, 8, 92), 20, 20);
    assert_eq!(domain.room(MODEL, &ask("quiet"), 20), Room::Left(80));
    assert_eq!(domain.room(MODEL, &ask("new"), 20), Room::Left(80));
    // Ten are kept for others: it has its turn again when eleven are left, in three seconds.
    assert_eq!(domain.room(MODEL, &ask("loud"), 20), Room::Over(3_021));
    assert_eq!(domain.room(MODEL, &ask("loud"), 3_021), Room::Left(110));
}

#[test]
fn the_last_of_a_bucket_is_kept_for_who_may_come_and_of_a_window_it_is_not() {
    let domain = Domain::new("p/org".to_owned());
    learn(&domain, &requests(100, 20, 80), 0, 0);
    domain.begin(MODEL, &ask("loud"), 0);
    learn(&domain, &requests(100, 5, 95), 10, 10);
    assert!(matches!(domain.room(MODEL, &ask("loud"), 10), Room::Over(_)));
    assert_eq!(domain.room(MODEL, &alone(), 10), Room::Left(50), "there is nobody else");
    assert!(domain.cool(MODEL, 10, Some(Duration::from_secs(9))));
    assert_eq!(domain.room(MODEL, &ask("loud"), 10), Room::Over(9_010), "it does not try its luck either");
    assert_eq!(domain.room(MODEL, &ask("quiet"), 10), Room::Out(9_010));
}

#[test]
fn a_429_cools_the_domain_and_the_fleet_hears_of_it() {
    let (here, there) = (Domain::new("p/org".to_owned()), Domain::new("p/org".to_owned()));
    assert!(here.cool(MODEL, 1_000, Some(Duration::from_secs(7))));
    assert!(!here.cool(MODEL, 1_001, Some(Duration::from_secs(7))), "that is no news any more");
    assert_eq!(here.cooling(MODEL, 2_000), Some(8_001));
    let news: Vec<_> = here.news(2_000).collect();
    assert_eq!((news.len(), news[0].cooling_millis), (1, 6_001));
    assert_eq!(here.news(2_000).count(), 0, "told once");
    // Another host's clock.
    there.hear(&news[0], 500_000);
    assert_eq!(there.cooling(MODEL, 500_000), Some(506_001));
    assert_eq!(there.cooling("other", 500_000), None);
    assert_eq!(there.news(500_000).count(), 0, "what was heard is not repeated");
}

#[test]
fn what_another_replica_read_counts_where_it_is_newer_and_is_shared() {
    let domain = Domain::new("p/org".to_owned());
    learn(&domain, &requests(100, 60, 40), 1_000, 1_000);
    let heard = |remaining, age_millis| keyway_proto::fleet::v1::Quota {
        domain: "p/org".to_owned(),
        model: MODEL.to_owned(),
        levels: vec![keyway_proto::fleet::v1::QuotaLevel {
            unit: wire::LimitUnit::Requests.into(),
            limit: 100,
            remaining,
            reset_millis: 100_000,
            age_millis,
            fixed: true,
        }],
        cooling_millis: 0,
        sharers: 3,
    };
    domain.hear(&heard(6, 980), 2_000);
    assert!(domain.is_ample(2_000), "it was read before ours");
    domain.hear(&heard(6, 100), 2_000);
    assert_eq!(domain.room(MODEL, &ask("c"), 2_000), Room::Left(60), "two of a third of the limit");
    domain.begin(MODEL, &ask("c"), 2_000);
    domain.begin(MODEL, &ask("c"), 2_000);
    assert!(matches!(domain.room(MODEL, &ask("c"), 2_000), Room::Out(102_000)));
}

#[test]
fn memory_is_bounded() {
    let domain = Domain::new("p/org".to_owned());
    for n in 0..1_000 {
        domain.cool(&format!("m{n}"), 0, None);
    }
    assert!(domain.models().count() <= 64);
}

/// A provider's bucket, and replicas that talk to each other five times a second, each sending as fast as its room allows.
#[test]
fn a_fleet_stays_within_a_bucket_without_a_429() {
    const LIMIT: f64 = 600.0;
    let replicas: Vec<Domain> = (0..3).map(|_| Domain::new("p/org".to_owned())).collect();
    let (mut tokens, mut served, mut refused) = (LIMIT, 0_u64, 0_u64);
    for now in 0..120_000_u64 {
        tokens = (tokens + LIMIT / 60_000.0).min(LIMIT);
        for (at, replica) in replicas.iter().enumerate() {
            // 25 a second each, 75 in all, against 10.
            if !(now + at as u64 * 13).is_multiple_of(40) {
                continue;
            }
            if !matches!(replica.room(MODEL, &ask("c"), now), Room::Left(_)) {
                continue;
            }
            let before = replica.begin(MODEL, &ask("c"), now);
            if tokens < 1.0 {
                refused += 1;
                continue;
            }
            tokens -= 1.0;
            served += 1;
            let reset = ((LIMIT - tokens) / (LIMIT / 60.0)).ceil() as u64;
            let (names, told) = (names(), requests(LIMIT as u64, tokens as u64, reset));
            replica.learn(MODEL, &Told { headers: &told, names: &names, sent: now, before }, || {
                (now, Duration::ZERO)
            });
        }
        if now.is_multiple_of(200) {
            let news: Vec<_> = replicas.iter().flat_map(|replica| replica.news(now)).collect();
            for quota in news {
                let quota = keyway_proto::fleet::v1::Quota { sharers: 3, ..quota };
                replicas.iter().for_each(|replica| replica.hear(&quota, now));
            }
        }
    }
    assert_eq!(refused, 0, "of {served}");
    assert!((1_700..=1_801).contains(&served), "{served} of 1800 that the bucket holds in two minutes");
}
