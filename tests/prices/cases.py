"""What genai-prices says that requests cost. Reads the catalogue's models by provider from standard input, writes cases."""

import json
import sys
from datetime import datetime, timezone

from genai_prices import Usage, calc_price

# The catalogue's names of providers that genai-prices knows under the same or another name.
NAMES = {
    "anthropic": "anthropic",
    "cerebras": "cerebras",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "google": "google",
    "groq": "groq",
    "minimax": "minimax",
    "mistral": "mistral",
    "moonshot": "moonshotai",
    "novita": "novita",
    "openai": "openai",
    "together": "together",
    "xai": "x-ai",
    "zai": "zai",
}

# Meters that both count: ours -> theirs. Parts of prompt and answer are in the totals, on both sides.
METERS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "audio_input_tokens": "input_audio_tokens",
    "web_searches": "web_searches",
}

# A Monday at noon, before dawn and at night, a Saturday, and a day on which announced prices hold. In UTC.
NOON = "2026-11-23T12:30:00Z"
DAWN = "2026-11-23T02:30:00Z"
NIGHT = "2026-11-23T20:30:00Z"
SATURDAY = "2026-11-28T02:30:00Z"
LATER = "2027-02-01T12:30:00Z"

# Odd numbers, so that rounding to a nano-dollar shows; then each rule by itself.
SHAPES = [
    ("plain", NOON, {"input_tokens": 1237, "output_tokens": 419}),
    ("one token", NOON, {"input_tokens": 1, "output_tokens": 1}),
    ("cached", NOON, {"input_tokens": 20011, "output_tokens": 733, "cache_read_tokens": 17389}),
    ("written", NOON, {"input_tokens": 9001, "output_tokens": 77, "cache_write_tokens": 5003}),
    ("long", NOON, {"input_tokens": 300007, "output_tokens": 1009, "cache_read_tokens": 11}),
    ("sound", NOON, {"input_tokens": 3001, "output_tokens": 101, "audio_input_tokens": 1999}),
    ("searches", NOON, {"input_tokens": 501, "output_tokens": 203, "web_searches": 3}),
    ("dawn", DAWN, {"input_tokens": 1237, "output_tokens": 419}),
    ("night", NIGHT, {"input_tokens": 1237, "output_tokens": 419}),
    ("saturday", SATURDAY, {"input_tokens": 1237, "output_tokens": 419}),
    ("later", LATER, {"input_tokens": 1237, "output_tokens": 419}),
]

# Shapes that differ from the first one only by when.
TIMES = {"dawn", "night", "saturday", "later"}

# What a price must hold for a shape to say anything.
NEEDS = {
    "cached": "cache_read_mtok",
    "written": "cache_write_mtok",
    "sound": "input_audio_mtok",
    "searches": "web_searches_kcount",
}


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)


def theirs(provider, model, usage, at):
    """Their price, exact; none where they know no model of exactly this name."""
    named = {METERS[name]: count for name, count in usage.items()}
    try:
        found = calc_price(Usage(**named), model, provider_id=provider, genai_request_timestamp=moment(at))
    except LookupError:
        return None
    return found if found.model.id == model else None


def is_asked(shape, found, by_time):
    """Meters, tiers, hours and dates are only asked of models that have them."""
    prices = found.model_price
    if shape in NEEDS:
        return getattr(prices, NEEDS[shape], None) is not None
    if shape == "long":
        return "TieredPrices" in repr(prices.__dict__)
    return by_time or shape not in TIMES


def main():
    cases = []
    for ours, models in sorted(json.load(sys.stdin).items()):
        for model in models:
            same = [theirs(NAMES[ours], model, SHAPES[0][2], at) for at in (NOON, DAWN, NIGHT, SATURDAY, LATER)]
            by_time = len({found.total_price for found in same if found}) > 1
            for shape, at, usage in SHAPES if same[0] else []:
                found = theirs(NAMES[ours], model, usage, at)
                if not is_asked(shape, found, by_time):
                    continue
                usd = format(found.total_price, "f")
                cases.append({"model": f"{ours}/{model}", "shape": shape, "at": at, "usage": usage, "usd": usd})
    json.dump(cases, sys.stdout)


if sys.argv[1:] == ["--providers"]:
    print(json.dumps(sorted(NAMES)))
else:
    main()
