//! Decimal strings become exact integers, and a price reaches the snapshot whole.

use crate::{Catalog, Meter, Model, Money, Price};
use keyway_proto::snapshot::v1 as wire;

#[test]
fn dollars_per_million_become_femto_dollars_per_token() {
    let cases = [
        ("0", 0),
        ("0.15", 150_000_000),
        ("0.150", 150_000_000),
        ("3", 3_000_000_000),
        ("0.000000001", 1),
        ("18000000000", 18_000_000_000_000_000_000),
    ];
    for (text, femto) in cases {
        assert_eq!(Money::per_million(text), Ok(Money(femto)), "{text}");
    }
    assert_eq!(Money(150_000_000).to_per_million(), "0.15");
    assert_eq!(Money(3_000_000_000).to_per_million(), "3");
    assert_eq!(Money(1).to_per_million(), "0.000000001");
}

#[test]
fn dollars_per_unit_become_femto_dollars() {
    assert_eq!(Money::per_unit("0.04"), Ok(Money(40_000_000_000_000)));
    assert_eq!(Money::per_unit("0.0000000001"), Ok(Money(100_000)));
    assert_eq!(Money(40_000_000_000_000).to_per_unit(), "0.04");
}

#[test]
fn a_price_that_is_not_exact_or_no_decimal_is_refused() {
    for text in
        ["", ".5", "5.", "-1", "+1", "1e-3", "0x1", "1,5", " 1", "1_0", "NaN", "0.0000000001", "99999999999"]
    {
        assert!(Money::per_million(text).is_err(), "{text}");
    }
}

#[test]
fn a_number_or_an_unknown_meter_in_a_file_is_refused() {
    for text in [
        "input = 0.15",
        "input = 1",
        "inputs = \"1\"",
        "tiers = [{ input = \"1\" }]",
        "tiers = [{ above = -1 }]",
    ] {
        assert!(toml::from_str::<Price>(text).is_err(), "{text}");
    }
}

#[test]
fn a_row_compiles_with_its_tiers() {
    let row: Model = toml::from_str(
        "id = 'm'\nprice = { input = '1', citation = '5', video_input = '7', tiers = [{ above = 200000, input = '3' }] }",
    )
    .unwrap();
    let rate = |meter: wire::Meter, femto_dollars| wire::Rate { meter: meter.into(), femto_dollars };
    let expected = wire::Price {
        rates: vec![rate(wire::Meter::Citation, 5_000_000_000), rate(wire::Meter::Input, 1_000_000_000)],
        tiers: vec![wire::PriceTier {
            above_input_tokens: 200_000,
            rates: vec![rate(wire::Meter::Input, 3_000_000_000)],
        }],
        ..wire::Price::default()
    };
    assert_eq!(row.to_proto(false), Some(expected));
}

#[test]
fn known_prices_are_what_their_makers_list() {
    let price = |provider, id| Catalog::embedded().model(provider, id).unwrap().price.clone().unwrap();
    let mini = price("openai", "gpt-4o-mini");
    assert_eq!(mini.rates.get(Meter::Input), Some(Money(150_000_000)));
    assert_eq!(mini.rates.get(Meter::Output), Some(Money(600_000_000)));
    assert_eq!(mini.rates.get(Meter::CacheRead), Some(Money(75_000_000)));
    let echo = price("sandbox", "echo");
    assert_eq!(echo.rates.get(Meter::Input), Some(Money(0)));
    let flex = Catalog::embedded().model("openai", "gpt-4o-mini").unwrap();
    assert_eq!(flex.service_tiers["batch"].rates.get(Meter::Input), Some(Money(75_000_000)));
}
