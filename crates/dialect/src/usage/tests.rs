use super::{COUNT_LIMIT, OBJECT_LIMIT, Tokens, Usage};
use keyway_proto::snapshot::v1::{Dialect, Endpoint, Meter};

fn read(dialect: Dialect, endpoint: Endpoint, object: &str) -> Option<Usage> {
    let mut tokens = Tokens::default();
    tokens.read(object.as_bytes());
    tokens.usage(dialect, endpoint)
}

fn chat(object: &str) -> Option<Usage> {
    read(Dialect::OpenaiChat, Endpoint::ChatCompletions, object)
}

/// Input, cache read, write 5m, write 1h, audio in, image in, output, audio out, image out.
fn row(usage: Usage) -> [u64; 9] {
    [
        Meter::Input,
        Meter::CacheRead,
        Meter::CacheWrite5m,
        Meter::CacheWrite1h,
        Meter::AudioInput,
        Meter::ImageInput,
        Meter::Output,
        Meter::AudioOutput,
        Meter::ImageOutput,
    ]
    .map(|meter| usage.get(meter))
}

#[test]
fn openai_parts_are_inside_the_totals() {
    let table = [
        (
            r#"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150}"#,
            [100, 0, 0, 0, 0, 0, 50, 0, 0],
            0,
        ),
        (
            r#"{"prompt_tokens":100,"completion_tokens":50,"prompt_tokens_details":{"cached_tokens":30,"audio_tokens":20,
                "cache_write_tokens":10},"completion_tokens_details":{"reasoning_tokens":7,"audio_tokens":5}}"#,
            [40, 30, 10, 0, 20, 0, 45, 5, 0],
            7,
        ),
        (
            r#"{"input_tokens":9,"output_tokens":4,"input_tokens_details":{"cached_tokens":2,"cache_write_tokens":3,
                "cache_write_tokens_details":{"ttl_30m_tokens":1,"ttl_12h_tokens":2}},
                "output_tokens_details":{"reasoning_tokens":1}}"#,
            [4, 2, 1, 0, 0, 0, 4, 0, 0],
            1,
        ),
        (r#"{"prompt_tokens":8,"total_tokens":8}"#, [8, 0, 0, 0, 0, 0, 0, 0, 0], 0),
        (
            r#"{"prompt_tokens":8,"completion_tokens":1,"prompt_cache_hit_tokens":5,"prompt_tokens_details":null}"#,
            [3, 5, 0, 0, 0, 0, 1, 0, 0],
            0,
        ),
        // Parts that exceed the total do not bring more than the total.
        (
            r#"{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":9}}"#,
            [0, 5, 0, 0, 0, 0, 1, 0, 0],
            0,
        ),
        // xAI: reasoning outside of completion_tokens, told by the sum and by its size.
        (
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":18,"completion_tokens_details":{"reasoning_tokens":3}}"#,
            [10, 0, 0, 0, 0, 0, 8, 0, 0],
            3,
        ),
        (
            r#"{"prompt_tokens":10,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":30}}"#,
            [10, 0, 0, 0, 0, 0, 35, 0, 0],
            30,
        ),
        (
            r#"{"prompt_tokens":12.0,"completion_tokens":1,"queue_time":0.25,"x":["y"]}"#,
            [12, 0, 0, 0, 0, 0, 1, 0, 0],
            0,
        ),
    ];
    for (object, expected, reasoning) in table {
        let usage = chat(object).unwrap();
        assert_eq!((row(usage), usage.reasoning()), (expected, reasoning), "{object}");
        let elsewhere = usage.get(Meter::CacheWrite12h);
        assert_eq!(usage.input_total(), expected[..6].iter().sum::<u64>() + elsewhere);
        assert_eq!(usage.output_total(), expected[6..].iter().sum::<u64>());
    }
}

#[test]
fn anthropic_parts_stand_beside_the_input() {
    let table = [
        (
            r#"{"input_tokens":10,"cache_read_input_tokens":20,"cache_creation_input_tokens":30,
                "cache_creation":{"ephemeral_5m_input_tokens":18,"ephemeral_1h_input_tokens":12},"output_tokens":5,
                "output_tokens_details":{"thinking_tokens":2},"server_tool_use":{"web_search_requests":1}}"#,
            [10, 20, 18, 12, 0, 0, 5, 0, 0],
            2,
        ),
        (
            r#"{"input_tokens":1,"cache_creation_input_tokens":4,"output_tokens":2}"#,
            [1, 0, 4, 0, 0, 0, 2, 0, 0],
            0,
        ),
        (
            r#"{"input_tokens":1,"cache_creation_input_tokens":null,"cache_creation":null,"output_tokens":2}"#,
            [1, 0, 0, 0, 0, 0, 2, 0, 0],
            0,
        ),
    ];
    for (object, expected, reasoning) in table {
        let usage = read(Dialect::AnthropicMessages, Endpoint::Messages, object).unwrap();
        assert_eq!((row(usage), usage.reasoning()), (expected, reasoning), "{object}");
    }
}

#[test]
fn images_and_sound_have_meters_of_their_own() {
    let image = r#"{"input_tokens":50,"output_tokens":100,"total_tokens":150,"input_tokens_details":{"text_tokens":10,"image_tokens":40}}"#;
    let usage = read(Dialect::OpenaiChat, Endpoint::ImagesEdits, image).unwrap();
    assert_eq!(row(usage), [10, 0, 0, 0, 0, 40, 0, 0, 100]);
    let heard = r#"{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":0,"audio_tokens":14},"output_tokens":45}"#;
    let usage = read(Dialect::OpenaiChat, Endpoint::AudioTranscriptions, heard).unwrap();
    assert_eq!(row(usage), [0, 0, 0, 0, 14, 0, 45, 0, 0]);
    let spoken = r#"{"input_tokens":14,"output_tokens":101,"total_tokens":115}"#;
    let usage = read(Dialect::OpenaiChat, Endpoint::AudioSpeech, spoken).unwrap();
    assert_eq!(row(usage), [14, 0, 0, 0, 0, 0, 0, 101, 0]);
}

#[test]
fn nonsense_counts_as_missing() {
    let huge = format!(r#"{{"prompt_tokens":{},"completion_tokens":1}}"#, COUNT_LIMIT + 1);
    let long = format!(r#"{{"prompt_tokens":1,"completion_tokens":1,"x":"{}"}}"#, "x".repeat(OBJECT_LIMIT));
    let table = [
        r#"{"prompt_tokens":-1,"completion_tokens":1}"#,
        r#"{"prompt_tokens":1e300,"completion_tokens":1}"#,
        r#"{"prompt_tokens":1.5,"completion_tokens":1}"#,
        r#"{"prompt_tokens":"7","completion_tokens":1}"#,
        r#"{"prompt_tokens":{},"completion_tokens":1}"#,
        r#"{"prompt_tokens":7,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":-3}}"#,
        r#"{"prompt_tokens":7"#,
        r#"{"type":"duration","seconds":-3}"#,
        r#"{"type":"duration"}"#,
        "{}",
        &huge,
        &long,
    ];
    for object in table {
        assert_eq!(chat(object), None, "{object:.80}");
    }
}

#[test]
fn later_counts_replace_and_absent_ones_leave() {
    let mut tokens = Tokens::default();
    tokens.read(br#"{"input_tokens":10,"cache_read_input_tokens":3,"output_tokens":1}"#);
    tokens.read(br#"{"input_tokens":12,"cache_read_input_tokens":null,"output_tokens":40}"#);
    let usage = tokens.usage(Dialect::AnthropicMessages, Endpoint::Messages).unwrap();
    assert_eq!((usage.input_total(), usage.output_total()), (15, 40));
}

/// What these meters say of a chat's usage object; all others but `REASONING` must be 0.
fn only(object: &str, meters: &[(Meter, u64)]) {
    let usage = chat(object).unwrap();
    for meter in (1..super::METERS as i32).map(|number| Meter::try_from(number).unwrap()) {
        let expected = meters.iter().find(|(known, _)| *known == meter).map_or(0, |(_, count)| *count);
        assert_eq!(usage.get(meter), expected, "{meter:?} of {object}");
    }
}

#[test]
fn parts_that_few_providers_tell() {
    use Meter::{AudioInput, CacheRead, CacheReadAudio, CacheReadImage, CacheWrite5m, CacheWrite12h};
    use Meter::{Citation, ImageInput, Input, Output, WebSearches};
    only(
        r#"{"input_tokens":100,"output_tokens":1,"input_tokens_details":{"cached_tokens":30,"cache_write_tokens":20,
            "cache_write_tokens_details":{"ttl_30m_tokens":5,"ttl_12h_tokens":15}}}"#,
        &[(Input, 50), (CacheRead, 30), (CacheWrite5m, 5), (CacheWrite12h, 15), (Output, 1)],
    );
    only(
        r#"{"input_tokens":100,"output_tokens":1,"input_token_details":{"text_tokens":40,"audio_tokens":35,"image_tokens":25,
            "cached_tokens":30,"cached_tokens_details":{"text_tokens":5,"audio_tokens":15,"image_tokens":10}}}"#,
        &[
            (Input, 35),
            (AudioInput, 20),
            (ImageInput, 15),
            (CacheRead, 5),
            (CacheReadAudio, 15),
            (CacheReadImage, 10),
            (Output, 1),
        ],
    );
    // Perplexity: reasoning and citations stand beside the answer, whatever the sums say.
    only(
        r#"{"prompt_tokens":7,"completion_tokens":50,"total_tokens":57,"citation_tokens":9,"num_search_queries":3,
            "reasoning_tokens":20}"#,
        &[(Input, 7), (Output, 70), (Citation, 9), (WebSearches, 3)],
    );
    // Databricks: beside the totals, yet inside them.
    only(
        r#"{"prompt_tokens":10,"completion_tokens":8,"total_tokens":18,"cache_read_input_tokens":4,"reasoning_tokens":5}"#,
        &[(Input, 6), (CacheRead, 4), (Output, 8)],
    );
}
