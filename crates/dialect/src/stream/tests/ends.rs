//! What ends a stream, and what fails it.

use super::{CHAT, DONE, EXTRA, RESPONSES, chat, ending_by, responses, whole};
use crate::stream::Ending;
use keyway_proto::snapshot::v1::StreamEnd;

#[test]
fn every_choice_that_has_begun_has_to_end() {
    let of = |index: u32, reason: &str| {
        format!(
            "data: {{\"choices\":[{{\"index\":{index},\"delta\":{{\"content\":\"a\"}},\"finish_reason\":{reason}}}]}}\n\n"
        )
    };
    let (going, empty, ended) = ("null", "\"\"", "\"stop\"");
    for (chunks, ending) in [
        (vec![of(0, going), of(1, going), of(0, ended)], Ending::Cut),
        (vec![of(0, ended), of(1, going)], Ending::Cut),
        (vec![of(0, empty)], Ending::Cut),
        (vec![of(0, going), of(127, going), of(127, ended)], Ending::Cut),
        (vec![of(0, going), of(1, going), of(0, ended), of(1, ended)], Ending::Complete),
        (vec![of(1, ended), of(0, ended), EXTRA.to_owned()], Ending::Complete),
    ] {
        let seen = whole(ending_by(StreamEnd::FinishReason), &chunks.concat());
        assert_eq!(seen.ending, ending, "{chunks:?}");
    }
}

/// As OpenRouter's documents have it: the error stands behind what every chunk begins with.
#[test]
fn an_error_in_the_middle_of_a_chunk_is_one() {
    let error = "data: {\"id\":\"cmpl-1\",\"object\":\"chat.completion.chunk\",\"error\":{\"code\":\"server_error\",\
        \"message\":\"gone\"},\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\n";
    for end in [StreamEnd::Done, StreamEnd::FinishReason, StreamEnd::Eof] {
        for text in [[CHAT, error].concat(), [CHAT, error, DONE].concat()] {
            assert_eq!(whole(ending_by(end), &text).ending, Ending::Failed, "{end:?} {text}");
        }
    }
    // Of that name, yet none.
    let said = "data: {\"error\":null,\"choices\":[{\"delta\":{\"content\":\"\\\"error\\\":{\",\"x\":{\"error\":{}}}}]}\n\n";
    assert_eq!(whole(chat(false), &[CHAT, said, DONE].concat()).ending, Ending::Complete);
}

#[test]
fn the_type_of_an_event_of_responses_counts_before_its_name() {
    let renamed = RESPONSES.replace("event: response.completed", "event: ping");
    for text in [renamed, RESPONSES.replace("event: response.", "event: message.")] {
        let seen = whole(responses(), &text);
        assert_eq!((seen.ending, seen.totals), (Ending::Complete, Some((4, 6))), "{text}");
    }
    let untyped = RESPONSES.replace("\"type\":\"response.completed\",", "");
    assert_eq!(whole(responses(), &untyped).ending, Ending::Complete);
}
