//! When a bill and the books mean the same model. Bills name what an alias stood for (`gpt-4o-2024-08-06` for `gpt-4o`)
//! or what people call it (`Claude Haiku 4.5` for `claude-haiku-4-5`), so dates and spelling are not told apart.

/// What stands for the newest one.
const NEWEST: &str = "-latest";

/// The same text for all names of a model.
pub(super) fn folded(name: &str) -> String {
    let lower = name.trim().to_lowercase();
    let spelled: String =
        lower.chars().map(|each| if each.is_alphanumeric() || each == '/' { each } else { '-' }).collect();
    let spelled = spelled.strip_suffix(NEWEST).unwrap_or(&spelled);
    undated(spelled).to_owned()
}

/// Without `-2024-08-06` or `-20240806` at its end.
fn undated(name: &str) -> &str {
    let is_digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((rest, last)) = name.rsplit_once('-') else { return name };
    if is_digits(last, 8) {
        return rest;
    }
    let Some((rest, month)) = rest.rsplit_once('-') else { return name };
    let Some((rest, year)) = rest.rsplit_once('-') else { return name };
    if is_digits(last, 2) && is_digits(month, 2) && is_digits(year, 4) { rest } else { name }
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn names_of_one_model_are_the_same_and_others_are_not() {
        let same = [
            ["gpt-4o", "gpt-4o-2024-08-06"],
            ["gpt-4.1-mini", "GPT-4.1 mini"],
            ["claude-haiku-4-5", "Claude Haiku 4.5"],
            ["claude-haiku-4-5-20251001", "claude-haiku-4-5"],
            ["claude-3-5-haiku-latest", "claude-3-5-haiku-20241022"],
            ["meta/llama-3", "Meta/Llama 3"],
        ];
        for [one, other] in same {
            assert_eq!(folded(one), folded(other));
        }
        let others = [
            ["gpt-4o", "gpt-4o-mini"],
            ["gpt-4-0613", "gpt-4"],
            ["claude-opus-4-1", "claude-opus-4"],
            ["model-2024-08", "model"],
        ];
        for [one, other] in others {
            assert_ne!(folded(one), folded(other));
        }
        assert_eq!([folded("2024-08-06"), folded("20240806"), folded("")], ["2024-08-06", "20240806", ""]);
    }
}
