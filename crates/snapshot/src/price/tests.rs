use super::{METERS, NanoDollars, Price, Used};
use keyway_proto::snapshot::v1::{self as wire, Meter, ServiceTier};
use proptest::prelude::*;

type Rates<'a> = &'a [(Meter, u64)];

fn rates(rates: Rates<'_>) -> Vec<wire::Rate> {
    rates.iter().map(|(meter, femto)| wire::Rate { meter: *meter as i32, femto_dollars: *femto }).collect()
}

fn tiers(tiers: &[(u64, Rates<'_>)]) -> Vec<wire::PriceTier> {
    let tier =
        |(above, of): &(u64, Rates<'_>)| wire::PriceTier { above_input_tokens: *above, rates: rates(of) };
    tiers.iter().map(tier).collect()
}

fn build(price: &wire::Price) -> Price {
    Price::build(price, "p", "x").unwrap()
}

fn price(of: Rates<'_>, longer: &[(u64, Rates<'_>)]) -> Price {
    build(&wire::Price { rates: rates(of), tiers: tiers(longer), ..wire::Price::default() })
}

/// What a request of these counts costs in nano-dollars, in this tier and at this second, and by which rules.
fn bill(price: &Price, of: Rates<'_>, tier: ServiceTier, at: u64) -> Option<(u64, String)> {
    let mut counts = [0; METERS];
    of.iter().for_each(|(meter, count)| counts[*meter as usize] = *count);
    let reasoning = counts[Meter::Reasoning as usize];
    counts[Meter::Reasoning as usize] = 0;
    let used = Used { counts: &counts, reasoning, service_tier: tier, at_unix_seconds: at };
    let bill = price.bill(&used, 0)?;
    let lines = price.charges(&used).unwrap();
    let sum: u128 = lines.iter().map(|line| line.atto_dollars().unwrap()).sum();
    assert!(sum.abs_diff(u128::from(bill.cost.0) * 1_000_000_000) <= 500_000_000, "{lines:?}");
    Some((bill.cost.0, bill.rules.texts().join(", ")))
}

fn cost(price: &Price, of: Rates<'_>) -> Option<u64> {
    bill(price, of, ServiceTier::Unspecified, 0).map(|(cost, _)| cost)
}

/// gpt-4o-mini: 0.15 and 0.60 USD a million = 150e6 and 600e6 femto-dollars a token.
const MINI: Rates<'static> =
    &[(Meter::Input, 150_000_000), (Meter::Output, 600_000_000), (Meter::CacheRead, 75_000_000)];

#[test]
fn dollars_by_hand() {
    let mini = price(MINI, &[]);
    let table: [(Rates<'_>, u64); 6] = [
        (&[(Meter::Input, 11), (Meter::Output, 7)], 5_850),
        (&[(Meter::Input, 200), (Meter::CacheRead, 1000)], 105_000),
        (&[], 0),
        // Reasoning is inside output: showing it does not bill it again.
        (&[(Meter::Output, 7), (Meter::Reasoning, 5)], 4_200),
        // Without a rate of its own: as its plain kind.
        (&[(Meter::CacheReadImage, 1000), (Meter::CacheWrite12h, 1000)], 225_000),
        (&[(Meter::AudioOutput, 1000), (Meter::Citation, 1000), (Meter::ImageInput, 1000)], 1_350_000),
    ];
    for (of, nano) in table {
        assert_eq!(cost(&mini, of), Some(nano), "{of:?}");
    }
    assert_eq!(NanoDollars(5_850).to_string(), "0.000005850");
    let apart = price(&[(Meter::Output, 8_000_000), (Meter::Reasoning, 3_000_000)], &[]);
    assert_eq!(cost(&apart, &[(Meter::Output, 10), (Meter::Reasoning, 4)]), Some(60));
    assert_eq!(cost(&apart, &[(Meter::Output, 10), (Meter::Reasoning, 40)]), Some(30));
}

#[test]
fn tiers_replace_the_base_and_unknown_stays_unknown() {
    let tiered = price(
        &[(Meter::Input, 1_000_000)],
        &[(100, &[(Meter::Input, 2_000_000)]), (200, &[(Meter::Input, 3_000_000)])],
    );
    assert_eq!(cost(&tiered, &[(Meter::Input, 100)]), Some(100));
    assert_eq!(cost(&tiered, &[(Meter::Input, 101)]), Some(202));
    assert_eq!(cost(&tiered, &[(Meter::Input, 1), (Meter::CacheRead, 200)]), Some(603));
    assert_eq!(cost(&tiered, &[(Meter::Output, 1)]), None);
    let rules = |tokens| bill(&tiered, &[(Meter::Input, tokens)], ServiceTier::Unspecified, 0).unwrap().1;
    assert_eq!((rules(100).as_str(), rules(200).as_str()), ("list", "list, tier>100"));
}

#[test]
fn what_costs_as_its_plain_kind_goes_with_it() {
    let base = [(Meter::Input, 1_000_000), (Meter::ImageInput, 1_000_000), (Meter::CacheRead, 500_000)];
    let price = price(&base, &[(10, &[(Meter::Input, 2_000_000)])]);
    assert_eq!(cost(&price, &[(Meter::ImageInput, 11)]), Some(22));
    // A price of its own stays where the longer prompt says nothing of it.
    assert_eq!(cost(&price, &[(Meter::CacheRead, 12)]), Some(6));
}

#[test]
fn rounds_half_to_even_once() {
    let half = price(&[(Meter::Input, 500_000), (Meter::Output, 500_000)], &[]);
    for (tokens, nano) in [(1, 0), (2, 1), (3, 2), (5, 2), (7, 4)] {
        assert_eq!(cost(&half, &[(Meter::Input, tokens)]), Some(nano), "{tokens}");
    }
    // Two halves are one, not twice nothing.
    assert_eq!(cost(&half, &[(Meter::Input, 1), (Meter::Output, 1)]), Some(1));
}

#[test]
fn a_service_tier_without_a_price_is_unknown() {
    let flex = wire::ServicePrice {
        tier: ServiceTier::Flex.into(),
        rates: rates(&[(Meter::Input, 1_000_000), (Meter::Output, 4_000_000)]),
        tiers: tiers(&[(10, &[(Meter::Input, 2_000_000)])]),
    };
    let base = rates(&[
        (Meter::Input, 2_000_000),
        (Meter::Output, 8_000_000),
        (Meter::CacheRead, 500_000),
        (Meter::AudioOutput, 8_000_000),
    ]);
    let price = build(&wire::Price { rates: base, services: vec![flex], ..wire::Price::default() });
    type Case<'a> = (ServiceTier, Rates<'a>, Option<(u64, &'a str)>);
    let table: [Case<'_>; 6] = [
        (ServiceTier::Unspecified, &[(Meter::Input, 3)], Some((6, "list"))),
        (ServiceTier::Flex, &[(Meter::Input, 3), (Meter::Output, 1)], Some((7, "list, flex"))),
        (ServiceTier::Flex, &[(Meter::Input, 11)], Some((22, "list, flex, tier>10"))),
        // The base has a price of its own for cached tokens; what it is in this tier nobody has said.
        (ServiceTier::Flex, &[(Meter::CacheRead, 1)], None),
        // Sound costs in the base what text does, so it does in the tier.
        (ServiceTier::Flex, &[(Meter::AudioOutput, 1)], Some((4, "list, flex"))),
        (ServiceTier::Other, &[(Meter::Input, 1)], None),
    ];
    for (tier, of, expected) in table {
        let expected = expected.map(|(cost, rules)| (cost, rules.to_owned()));
        assert_eq!(bill(&price, of, tier, 0), expected, "{tier:?} {of:?}");
    }
}

/// A price whose only service tier is flex.
fn with_flex(base: Rates<'_>, flex: Rates<'_>, longer: &[(u64, Rates<'_>)]) -> Price {
    let flex =
        wire::ServicePrice { tier: ServiceTier::Flex.into(), rates: rates(flex), tiers: tiers(longer) };
    build(&wire::Price { rates: rates(base), services: vec![flex], ..wire::Price::default() })
}

#[test]
fn what_a_service_tier_says_itself_is_known() {
    let flex = |price: &Price, of: Rates<'_>| bill(price, of, ServiceTier::Flex, 0).map(|(cost, _)| cost);
    let base = &[(Meter::Input, 3_000_000), (Meter::Output, 12_000_000), (Meter::CacheRead, 750_000)];
    // A discount on cached tokens in the list price, none in the tier: it says so.
    let same = [(Meter::Input, 1_500_000), (Meter::Output, 6_000_000), (Meter::CacheRead, 1_500_000)];
    assert_eq!(flex(&with_flex(base, &same, &[]), &[(Meter::CacheRead, 1)]), Some(2));
    // Only for longer prompts.
    let plain = &same[..2];
    let longer: &[(u64, Rates<'_>)] = &[(10, &[(Meter::CacheRead, 1_000_000)])];
    let price = with_flex(base, plain, longer);
    assert_eq!(flex(&price, &[(Meter::CacheRead, 11)]), Some(11));
    assert_eq!(flex(&price, &[(Meter::CacheRead, 10)]), None);
    // What costs as a kind of which nothing is said is not known either.
    assert_eq!(flex(&price, &[(Meter::CacheReadImage, 10)]), None);
}

#[test]
fn reasoning_stands_apart_wherever_it_has_a_price_of_its_own() {
    let answer = &[(Meter::Output, 1_000), (Meter::Reasoning, 400)];
    let base = &[(Meter::Output, 12_000_000), (Meter::Reasoning, 20_000_000)];
    let unsaid = with_flex(base, &[(Meter::Output, 6_000_000)], &[]);
    assert_eq!(bill(&unsaid, answer, ServiceTier::Flex, 0), None);
    let plain = bill(&unsaid, &[(Meter::Output, 1_000)], ServiceTier::Flex, 0);
    assert_eq!(plain.map(|(cost, _)| cost), Some(6_000));
    // Only the longer prompts have a price for it, whether or not the short ones tell what output costs for it.
    let longer: &[(u64, Rates<'_>)] =
        &[(200_000, &[(Meter::Input, 0), (Meter::Output, 18_000_000), (Meter::Reasoning, 30_000_000)])];
    for base in [
        &[(Meter::Input, 0), (Meter::Output, 12)][..],
        &[(Meter::Input, 0), (Meter::Output, 12_000_000), (Meter::Reasoning, 12_000_000)],
    ] {
        let of = [(Meter::Input, 300_000), (Meter::Output, 1_500), (Meter::Reasoning, 1_000)];
        assert_eq!(cost(&price(base, longer), &of), Some(500 * 18 + 1_000 * 30));
    }
}

#[test]
fn a_service_tier_says_itself_what_longer_prompts_cost() {
    let service = |longer: &[(u64, Rates<'_>)]| wire::ServicePrice {
        tier: ServiceTier::Priority.into(),
        rates: rates(&[(Meter::Input, 2_000_000)]),
        tiers: tiers(longer),
    };
    let price = |longer: &[(u64, Rates<'_>)]| {
        let longer = service(longer);
        let (rates, tiers) =
            (rates(&[(Meter::Input, 1_000_000)]), tiers(&[(10, &[(Meter::Input, 3_000_000)])]));
        build(&wire::Price { rates, tiers, services: vec![longer], ..wire::Price::default() })
    };
    let priority = |price: &Price, tokens| {
        bill(price, &[(Meter::Input, tokens)], ServiceTier::Priority, 0).map(|(cost, _)| cost)
    };
    let unsaid = price(&[]);
    assert_eq!((priority(&unsaid, 10), priority(&unsaid, 11)), (Some(20), None));
    let said = price(&[(10, &[(Meter::Input, 6_000_000)])]);
    assert_eq!((priority(&said, 10), priority(&said, 11)), (Some(20), Some(66)));
}

#[test]
fn the_clock_and_the_calendar() {
    let at = |minute: u64, weekday: u64| 86_400 * (4 + weekday - 1) + minute * 60;
    let timed = |weekdays: &[u32], windows: &[(u32, u32)], input| wire::TimedPrice {
        weekdays: weekdays.to_vec(),
        windows: windows
            .iter()
            .map(|(from, until)| wire::Window { from_minute: *from, until_minute: *until })
            .collect(),
        rates: rates(&[(Meter::Input, input)]),
        tiers: Vec::new(),
    };
    let price = build(&wire::Price {
        rates: rates(&[(Meter::Input, 4_000_000)]),
        by_time: vec![
            timed(&[1, 2, 3, 4, 5], &[(0, 60), (1380, 60)], 1_000_000),
            timed(&[6], &[], 5_000_000),
            timed(&[7], &[(600, 660)], 4_000_000),
        ],
        scheduled: vec![
            wire::ScheduledPrice {
                from_unix_seconds: 2_000_000_000,
                rates: rates(&[(Meter::Input, 7_000_000)]),
                tiers: Vec::new(),
            },
            wire::ScheduledPrice {
                from_unix_seconds: 2_100_000_000,
                rates: rates(&[(Meter::Input, 9_000_000)]),
                tiers: Vec::new(),
            },
        ],
        services: vec![wire::ServicePrice {
            tier: ServiceTier::Flex.into(),
            rates: rates(&[(Meter::Input, 2_000_000)]),
            tiers: Vec::new(),
        }],
        ..wire::Price::default()
    });
    let table = [
        (at(0, 1), "1 list, off-peak"),
        (at(59, 1), "1 list, off-peak"),
        (at(60, 1), "4 list"),
        (at(1379, 3), "4 list"),
        (at(1380, 3), "1 list, off-peak"),
        (at(1439, 5), "1 list, off-peak"),
        (at(0, 6), "5 list, peak"),
        (at(630, 7), "4 list"),
        (at(700, 7), "4 list"),
        (1_999_999_999, "4 list"),
        (2_000_000_000, "7 list, scheduled"),
        (2_100_000_000, "9 list, scheduled"),
    ];
    for (second, expected) in table {
        let (cost, rules) = bill(&price, &[(Meter::Input, 1)], ServiceTier::Unspecified, second).unwrap();
        assert_eq!(format!("{cost} {rules}"), expected, "{second}");
    }
    let told =
        price.rates().into_iter().map(|rate| format!("{:?} {}", rate.when, rate.femto_dollars / 1_000_000));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            "Always 4",
            "Tier(\"flex\") 2",
            "Hours(\"Mon-Fri 00:00-01:00, 23:00-01:00 UTC\") 1",
            "Hours(\"Sat UTC\") 5",
            "Hours(\"Sun 10:00-11:00 UTC\") 4",
            "From(2000000000) 7",
            "From(2100000000) 9",
        ]
    );
    let flex = |second| bill(&price, &[(Meter::Input, 1)], ServiceTier::Flex, second).map(|(cost, _)| cost);
    assert_eq!((flex(at(0, 1)), flex(2_000_000_000)), (Some(2), None));
}

#[test]
fn units_beside_tokens_and_instead_of_them() {
    let searches = price(
        &[(Meter::Input, 1_000_000), (Meter::WebSearches, 10_000_000_000_000), (Meter::Requests, 5_000_000)],
        &[],
    );
    assert_eq!(cost(&searches, &[(Meter::Input, 2), (Meter::WebSearches, 3)]), Some(30_000_007));
    assert_eq!((cost(&searches, &[(Meter::Input, 1)]), cost(&searches, &[])), (Some(6), Some(0)));
    let plain = price(MINI, &[]);
    assert_eq!(cost(&plain, &[(Meter::Input, 1), (Meter::WebSearches, 1)]), None);
    // A rerank: 2,000,000 nano-dollars a search unit; one that tells none is not free, whatever else it tells.
    let rerank = price(&[(Meter::Input, 0), (Meter::SearchUnits, 2_000_000_000_000)], &[]);
    assert_eq!(cost(&rerank, &[(Meter::SearchUnits, 3)]), Some(6_000_000));
    assert_eq!(cost(&rerank, &[(Meter::Input, 90), (Meter::SearchUnits, 1)]), Some(2_000_000));
    assert_eq!(
        (cost(&rerank, &[(Meter::Input, 90)]), cost(&plain, &[(Meter::SearchUnits, 1)])),
        (None, None)
    );
    // Sound by the second: milliseconds are exact.
    let whisper = price(&[(Meter::AudioMilliseconds, 100_000_000_000)], &[]);
    assert_eq!(cost(&whisper, &[(Meter::AudioMilliseconds, 8_475)]), Some(847_500));
    assert_eq!(cost(&whisper, &[(Meter::Input, 5)]), None);
    // Both are known: tokens where they are told, the unit where they are not.
    let both = price(
        &[(Meter::Input, 1_000_000), (Meter::ImageOutput, 2_000_000), (Meter::Images, 40_000_000)],
        &[],
    );
    assert_eq!(cost(&both, &[(Meter::Images, 2)]), Some(80));
    assert_eq!(cost(&both, &[(Meter::Images, 2), (Meter::Input, 1), (Meter::ImageOutput, 3)]), Some(7));
    // By the unit alone: tokens are not looked at. Without a price of the unit: unknown.
    let unit = price(&[(Meter::Images, 40_000_000)], &[]);
    assert_eq!(cost(&unit, &[(Meter::Images, 1), (Meter::Input, 9)]), Some(40));
    assert_eq!(cost(&plain, &[(Meter::Characters, 9)]), None);
}

#[test]
fn discounts_and_nothing_at_all() {
    let half = price(&[(Meter::Input, 1_000_000)], &[]);
    let mut counts = [0; METERS];
    counts[Meter::Input as usize] = 5;
    let used =
        Used { counts: &counts, reasoning: 0, service_tier: ServiceTier::Unspecified, at_unix_seconds: 0 };
    for (discount, nano, rules) in [
        (0, 5, "list"),
        (125_000, 4, "list, discount 12.5%"),
        // 4.5 and 3.5: half to even.
        (100_000, 4, "list, discount 10%"),
        (300_000, 4, "list, discount 30%"),
        (333_333, 3, "list, discount 33.3333%"),
        (1_000_000, 0, "list, discount 100%"),
    ] {
        let bill = half.bill(&used, discount).unwrap();
        assert_eq!((bill.cost.0, bill.rules.texts().join(", ").as_str()), (nano, rules));
    }
    assert_eq!(half.bill(&used, 1_000_001), None);
    let free = wire::Price { free: true, origin: wire::PriceOrigin::File.into(), ..wire::Price::default() };
    let paid = bill(&build(&free), &[(Meter::Output, 5), (Meter::WebSearches, 1)], ServiceTier::Other, 0);
    assert_eq!(paid, Some((0, "file, free".to_owned())));
    // What no integer holds has no cost, and no panic.
    let dear = price(&[(Meter::Input, u64::MAX)], &[]);
    assert_eq!(cost(&dear, &[(Meter::Input, 1 << 40)]), None);
}

#[test]
fn a_key_may_be_charged_otherwise() {
    let offer = |id: &str, origin: wire::PriceOrigin, input| wire::Offer {
        id: id.to_owned(),
        price: Some(wire::Price {
            rates: rates(&[(Meter::Input, input)]),
            origin: origin.into(),
            ..wire::Price::default()
        }),
        ..wire::Offer::default()
    };
    let key = |key: &str, offers: Vec<wire::Offer>, discount| wire::KeyPrice {
        key: key.to_owned(),
        offers,
        discount,
    };
    let provider = wire::Provider {
        name: "p".to_owned(),
        key_prices: vec![
            key("own", vec![offer("m", wire::PriceOrigin::Key, 3_000_000)], 0),
            key("half", Vec::new(), 500_000),
        ],
        ..wire::Provider::default()
    };
    let list = std::sync::Arc::new(build(&offer("m", wire::PriceOrigin::File, 10_000_000).price.unwrap()));
    let prices = super::KeyPrices::build(&provider).unwrap();
    let mut counts = [0; METERS];
    counts[Meter::Input as usize] = 1;
    let used =
        Used { counts: &counts, reasoning: 0, service_tier: ServiceTier::Unspecified, at_unix_seconds: 0 };
    for (key, model, expected) in [
        ("p/own/7", "m", Some((3, "key"))),
        ("p/own/7", "other", Some((10, "file"))),
        ("p/half/1", "m", Some((5, "file, discount 50%"))),
        ("p/plain/1", "m", Some((10, "file"))),
        ("", "m", Some((10, "file"))),
    ] {
        let (price, discount) = prices.of(key, model, Some(&list));
        let bill = price
            .and_then(|price| price.bill(&used, discount))
            .map(|bill| (bill.cost.0, bill.rules.texts().join(", ")));
        assert_eq!(bill, expected.map(|(cost, rules)| (cost, rules.to_owned())), "{key} {model}");
    }
    let wrong =
        wire::Provider { key_prices: vec![key("k", Vec::new(), 1_000_001)], ..wire::Provider::default() };
    assert!(super::KeyPrices::build(&wrong).unwrap_err().to_string().contains("key_prices[0].discount"));
}

#[test]
fn a_wrong_price_names_its_field() {
    let wrong = |price: wire::Price| Price::build(&price, "p", "offers[0].price").unwrap_err().to_string();
    let rate = |meter| wire::Rate { meter, femto_dollars: 1 };
    let price = wire::Price { rates: vec![rate(99)], ..wire::Price::default() };
    assert!(wrong(price).contains("offers[0].price.rates"));
    let twice = wire::Price { rates: vec![rate(1), rate(1)], ..wire::Price::default() };
    assert!(wrong(twice).contains("twice"));
    let window = wire::Window { from_minute: 1440, until_minute: 1 };
    let timed = wire::TimedPrice { windows: vec![window], ..wire::TimedPrice::default() };
    assert!(wrong(wire::Price { by_time: vec![timed], ..wire::Price::default() }).contains("by_time"));
    let service = wire::ServicePrice { tier: 99, ..wire::ServicePrice::default() };
    assert!(wrong(wire::Price { services: vec![service], ..wire::Price::default() }).contains("services"));
}

fn counts() -> impl Strategy<Value = Vec<(Meter, u64)>> {
    // A request is one of it: no count.
    let counted = |number: &i32| *number != Meter::Requests as i32;
    let meter = (1..METERS as i32)
        .prop_filter("a count", counted)
        .prop_map(|number| Meter::try_from(number).unwrap());
    prop::collection::vec((meter, 0..100_000u64), 0..8)
}

proptest! {
    #[test]
    fn more_never_costs_less(of in counts(), more in 1..1000u64, at in any::<prop::sample::Index>()) {
        let all: Vec<(Meter, u64)> =
            (1..METERS as i32).map(|number| (Meter::try_from(number).unwrap(), 500_000 + number as u64)).collect();
        let dearer: Vec<(Meter, u64)> = all.iter().map(|(meter, rate)| (*meter, rate * 2)).collect();
        let price = price(&all, &[(100_000, &dearer)]);
        let mut bigger = of.clone();
        if !bigger.is_empty() {
            let place = at.index(bigger.len());
            bigger[place].1 += more;
        }
        // Units stand in for tokens that are not told: one more token may end that.
        let tokens = |of: &[(Meter, u64)]| of.iter().any(|(meter, count)| *count > 0 && (*meter as usize) < Meter::Images as usize && *meter != Meter::Reasoning);
        prop_assume!(tokens(&of) == tokens(&bigger));
        // A later entry of a meter replaces an earlier one, in both.
        prop_assert!(cost(&price, &bigger) >= cost(&price, &of));
    }

    #[test]
    fn the_order_of_rates_does_not_matter(of in counts(), seed in any::<prop::sample::Index>()) {
        let mut all: Vec<(Meter, u64)> =
            (1..METERS as i32).map(|number| (Meter::try_from(number).unwrap(), 333_333 * number as u64)).collect();
        let sorted = price(&all, &[]);
        let by = seed.index(all.len());
        all.rotate_left(by);
        prop_assert_eq!(cost(&price(&all, &[]), &of), cost(&sorted, &of));
    }
}
