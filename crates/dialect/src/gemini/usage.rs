//! Counts. Cached tokens stand inside the prompt's, thoughts and results of hosted tools beside the totals.

use super::wire;
use crate::json::{Fields, Json, Value};
use crate::usage::{COUNT_LIMIT, Usage};
use keyway_proto::snapshot::v1::Meter;

/// What a `usageMetadata` counts; none if it counts nothing or nonsense.
pub(super) fn read(value: Value<'_>) -> Option<Usage> {
    let mut fields = wire::fields(value).ok()?;
    const NAMES: [&str; 5] = [
        "promptTokenCount",
        "toolUsePromptTokenCount",
        "cachedContentTokenCount",
        "candidatesTokenCount",
        "thoughtsTokenCount",
    ];
    let (mut totals, mut seen) = ([0; 5], false);
    for (total, name) in totals.iter_mut().zip(NAMES) {
        let count = fields.with(name, wire::count).ok()?;
        seen |= count.is_some();
        *total = count.unwrap_or_default();
    }
    if !seen || totals.iter().any(|total| *total > COUNT_LIMIT) {
        return None;
    }
    let [prompt, tools, cached, candidates, thoughts] = totals;
    let by_tools = modalities(&mut fields, "toolUsePromptTokensDetails");
    let asked = modalities(&mut fields, "promptTokensDetails");
    let kept = modalities(&mut fields, "cacheTokensDetails");
    let made = modalities(&mut fields, "candidatesTokensDetails");
    // Details that exceed their total do not bring more than the total.
    let mut left = prompt + tools;
    let mut take = |count: u64| {
        let taken = count.min(left);
        left -= taken;
        taken
    };
    let kept_audio = take(kept.audio.min(cached));
    let input = [
        (Meter::CacheReadAudio, kept_audio),
        (Meter::CacheRead, take(cached - kept_audio)),
        (Meter::AudioInput, take((asked.audio + by_tools.audio).saturating_sub(kept.audio))),
        (Meter::ImageInput, take((asked.image + by_tools.image).saturating_sub(kept.image))),
    ];
    let audio = made.audio.min(candidates);
    let image = made.image.min(candidates - audio);
    let text = candidates - audio - image;
    let output = [
        (Meter::Input, left),
        (Meter::AudioOutput, audio),
        (Meter::ImageOutput, image),
        (Meter::Output, text + thoughts),
    ];
    Some(Usage::of(&[input, output].concat(), thoughts))
}

/// Tokens that are billed at rates of their own.
#[derive(Clone, Copy, Default)]
struct Modalities {
    audio: u64,
    image: u64,
}

fn modalities(fields: &mut Fields<'_>, name: &str) -> Modalities {
    let mut found = Modalities::default();
    let mut add = |value: Value<'_>| {
        let mut entry = wire::fields(value)?;
        let modality = entry.text("modality")?.unwrap_or_default();
        let count = entry.with("tokenCount", wire::count)?.unwrap_or_default().min(COUNT_LIMIT);
        match modality.as_str() {
            "AUDIO" => found.audio = (found.audio + count).min(COUNT_LIMIT),
            "IMAGE" => found.image = (found.image + count).min(COUNT_LIMIT),
            _ => {}
        }
        Ok(())
    };
    // Details that cannot be read leave the totals as they are.
    match fields.with(name, |list| list.each(|_, value| add(value))) {
        Ok(_) => found,
        Err(_) => Modalities::default(),
    }
}

/// Writes a `usageMetadata`. What was written to a cache has no place of its own and stays in the prompt's total.
pub(super) fn write(json: &mut Json<'_>, usage: &Usage) {
    let (input, output, thoughts) = (usage.input_total(), usage.output_total(), usage.reasoning());
    let candidates = output - thoughts;
    let kept_audio = usage.get(Meter::CacheReadAudio);
    let kept_image = usage.get(Meter::CacheReadImage);
    let cached = usage.cached();
    json.open_object().key("promptTokenCount").count(input).key("candidatesTokenCount").count(candidates);
    json.key("totalTokenCount").count(input + output);
    if cached > 0 {
        json.key("cachedContentTokenCount").count(cached);
    }
    if thoughts > 0 {
        json.key("thoughtsTokenCount").count(thoughts);
    }
    let asked = Modalities {
        audio: usage.get(Meter::AudioInput) + kept_audio,
        image: usage.get(Meter::ImageInput) + kept_image,
    };
    let made = Modalities { audio: usage.get(Meter::AudioOutput), image: usage.get(Meter::ImageOutput) };
    write_modalities(json, "promptTokensDetails", asked, input);
    write_modalities(json, "cacheTokensDetails", Modalities { audio: kept_audio, image: kept_image }, cached);
    write_modalities(json, "candidatesTokensDetails", made, candidates);
    json.close_object();
}

fn write_modalities(json: &mut Json<'_>, name: &str, found: Modalities, total: u64) {
    let text = total.saturating_sub(found.audio + found.image);
    if found.audio + found.image == 0 {
        return;
    }
    json.key(name).open_list();
    for (modality, count) in [("TEXT", text), ("IMAGE", found.image), ("AUDIO", found.audio)] {
        if count > 0 {
            json.open_object().member("modality", modality).key("tokenCount").count(count).close_object();
        }
    }
    json.close_list();
}
