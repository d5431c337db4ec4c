//! Laying and showing quirks, and what of a provider's models they hold for.

use super::{CacheMarks, Effort, Efforts, Quirks, ReasoningField};
use crate::Provider;
use keyway_proto::snapshot::v1 as wire;

fn provider(edit: impl FnOnce(&mut wire::Provider)) -> wire::Provider {
    let surface = wire::Surface {
        dialect: wire::Dialect::OpenaiChat.into(),
        base_url: "https://a.example/v1".to_owned(),
        no_stream_options: true,
        quirks: Some(wire::Quirks {
            old_max_tokens: Some(true),
            max_output_tokens: Some(1000),
            reasoning_field: wire::ReasoningField::Reasoning.into(),
            ..wire::Quirks::default()
        }),
        ..wire::Surface::default()
    };
    let auth = wire::Auth { scheme: wire::AuthScheme::None.into(), ..wire::Auth::default() };
    let mut from = wire::Provider {
        name: "p".to_owned(),
        surfaces: vec![surface],
        auth: Some(auth),
        ..wire::Provider::default()
    };
    edit(&mut from);
    from
}

fn rule(models: &str, quirks: wire::Quirks) -> wire::ModelQuirks {
    wire::ModelQuirks { models: models.to_owned(), quirks: Some(quirks), dialect: 0 }
}

#[test]
fn a_model_s_quirks_are_the_surface_s_the_offer_s_and_each_rule_s_in_order() {
    let from = provider(|from| {
        let own = wire::Quirks { max_output_tokens: Some(64), no_sampling: Some(true), ..Default::default() };
        from.offers.push(wire::Offer { id: "m-1".to_owned(), quirks: Some(own), ..wire::Offer::default() });
        let thinks = wire::Quirks { efforts: vec![wire::Effort::Low.into()], ..Default::default() };
        let other = wire::Quirks {
            old_max_tokens: Some(false),
            max_output_tokens: Some(32),
            reasoning_field: wire::ReasoningField::None.into(),
            ..Default::default()
        };
        let elsewhere = wire::Quirks { no_stop: Some(true), ..Default::default() };
        let elsewhere = wire::ModelQuirks { dialect: wire::Dialect::Gemini.into(), ..rule("*", elsewhere) };
        from.model_quirks = vec![rule("m-*", thinks), elsewhere, rule("m-2", other)];
    });
    let built = Provider::build(&from).unwrap();
    let surface = &built.surfaces[0];
    let of_surface = Quirks {
        old_max_tokens: true,
        no_stream_options: true,
        max_output_tokens: Some(1000),
        reasoning_field: Some(ReasoningField::Reasoning),
        ..Quirks::default()
    };
    let low = Efforts::from_iter([Effort::Low]);
    let table = [
        ("other", of_surface.clone()),
        (
            "m-1",
            Quirks { max_output_tokens: Some(64), no_sampling: true, efforts: low, ..of_surface.clone() },
        ),
        (
            "m-2",
            Quirks {
                old_max_tokens: false,
                max_output_tokens: Some(32),
                reasoning_field: None,
                efforts: low,
                ..of_surface
            },
        ),
    ];
    for (model, quirks) in table {
        assert_eq!(*built.quirks(surface, model), quirks, "{model}");
    }
    assert!(matches!(built.quirks(surface, "other"), std::borrow::Cow::Borrowed(_)));

    let built = std::sync::Arc::new(built);
    let target = crate::Target::new(std::sync::Arc::clone(&built), "m-1", None);
    let first = target.quirks(&built.surfaces[0]);
    assert_eq!(*first, *built.quirks(&built.surfaces[0], "m-1"));
    assert!(std::ptr::eq(first, target.quirks(&built.surfaces[0])), "found out once");
}

#[test]
fn what_cannot_hold_is_refused_with_its_field() {
    let bad = wire::Quirks { no_tool_choice: Some(true), tool_choice_any: Some(true), ..Default::default() };
    let table = [
        (provider(|from| from.surfaces[0].quirks = Some(bad.clone())), "surfaces[0].quirks"),
        (provider(|from| from.model_quirks = vec![rule("m", bad.clone())]), "model_quirks[0].quirks"),
        (
            provider(|from| from.model_quirks = vec![rule("", wire::Quirks::default())]),
            "model_quirks[0].models",
        ),
        (
            provider(|from| {
                let quirks = Some(wire::Quirks { max_output_tokens: Some(0), ..Default::default() });
                from.offers = vec![wire::Offer { id: "m".to_owned(), quirks, ..wire::Offer::default() }];
            }),
            "offers[0].quirks",
        ),
    ];
    for (from, field) in table {
        assert_eq!(Provider::build(&from).unwrap_err().field, field);
    }
    let contradictions = [
        wire::Quirks { no_thinking: Some(true), adaptive_thinking: Some(true), ..Default::default() },
        wire::Quirks { no_thinking: Some(true), efforts: vec![1], ..Default::default() },
        wire::Quirks { no_model_fields: Some(true), adaptive_thinking: Some(true), ..Default::default() },
    ];
    for said in contradictions {
        assert!(Quirks::check(&said).is_err(), "{said:?}");
    }
    let fine = wire::Quirks { no_thinking: Some(false), adaptive_thinking: Some(true), ..Default::default() };
    assert_eq!(Quirks::check(&fine), Ok(()));
}

#[test]
fn words_of_a_newer_control_plane_are_not_said() {
    let mut quirks = Quirks {
        reasoning_field: Some(ReasoningField::Details),
        cache_marks: Some(CacheMarks::Control),
        ..Quirks::default()
    };
    let before = quirks.clone();
    quirks.lay(&wire::Quirks {
        efforts: vec![99],
        reasoning_field: 99,
        cache_marks: 99,
        ..Default::default()
    });
    assert_eq!(quirks, before);
}

#[test]
fn efforts_come_nearest_and_never_end_reasoning() {
    use Effort::{High, Low, Max, Medium, Minimal, None, Xhigh};
    let table: [(&[Effort], Effort, Effort); 8] = [
        (&[], Max, Max),
        (&[Low, Medium, High], Max, High),
        (&[Low, Medium, High], Minimal, Low),
        (&[Low, High, Max], Medium, Low),
        (&[Low, High, Max], Xhigh, High),
        (&[None, High], Minimal, High),
        (&[None, High], None, None),
        (&[None], High, None),
    ];
    for (known, wanted, sent) in table {
        assert_eq!(known.iter().copied().collect::<Efforts>().nearest(wanted), sent, "{known:?} {wanted:?}");
    }
}

#[test]
fn what_is_held_is_named_in_the_words_of_the_file() {
    assert!(Quirks::default().held().is_empty());
    let quirks = Quirks {
        no_sampling: true,
        no_stream_options: true,
        efforts: [Effort::Low, Effort::High].into_iter().collect(),
        cache_marks: Some(CacheMarks::Control),
        ..Quirks::default()
    };
    let held = ["no_sampling", "no_stream_options", "efforts: low, high", "cache_marks: control"];
    assert_eq!(quirks.held(), held);
}
