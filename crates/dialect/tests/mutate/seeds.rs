//! What inputs are made from: the golden files, each with the bytes before it that choose its dialect.

use std::fs;
use std::path::{Path, PathBuf};

/// In the order of the harness.
const DIALECTS: [&str; 6] =
    ["openai-chat", "openai-responses", "anthropic-messages", "gemini", "bedrock-converse", "cohere-chat"];

/// Numbers that look drawn and are the same in every run: <https://prng.di.unimi.it/splitmix64.c>.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.0;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^ (drawn >> 31)
    }

    /// A number below `bound`; 0 where there is none.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.next() % bound as u64) as usize }
    }

    pub(crate) fn byte(&mut self) -> u8 {
        (self.next() & 0xff) as u8
    }
}

fn files(dialect: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(dialect);
    let cases = fs::read_dir(root).unwrap().map(|case| case.unwrap().path());
    let mut files: Vec<PathBuf> =
        cases.flat_map(|case| fs::read_dir(case).unwrap().map(|file| file.unwrap().path())).collect();
    // Folders are listed in no order.
    files.sort();
    files
}

/// Inputs for a target of the harness.
pub(crate) fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (which, dialect) in (0u8..).zip(DIALECTS) {
        for file in files(dialect) {
            let name = file.file_name().unwrap().to_str().unwrap();
            let body = fs::read(&file).unwrap();
            let heads: &[&[u8]] = match (target, name) {
                ("request", "request.json") | ("response", "response.json") => &[&[]],
                ("stream", "stream.sse") => &[&[0xff], &[1]],
                ("fault", "error.json") => &[&[0], &[29], &[103]],
                ("operation", "request.json" | "response.json") => &[&[0], &[1], &[2]],
                ("scan", "request.json" | "response.json" | "stream.sse") => &[&[]],
                _ => continue,
            };
            seeds.extend(heads.iter().map(|head| [&[which], *head, body.as_slice()].concat()));
        }
    }
    seeds.extend(own(target).into_iter().map(|(head, body)| [head, body.as_bytes()].concat()));
    seeds
}

/// Inputs that no golden file has.
fn own(target: &str) -> Vec<(&'static [u8], &'static str)> {
    if target != "operation" {
        return Vec::new();
    }
    vec![
        (&[0, 0], r#"{"model":"m","input":["a","b"],"dimensions":8,"encoding_format":"base64","user":"u"}"#),
        (&[0, 0], r#"{"model":"m","input":[[1,2],[3]]}"#),
        (
            &[0, 0],
            r#"{"object":"list","data":[{"index":0,"embedding":[1.0,-0.5]}],"usage":{"prompt_tokens":7}}"#,
        ),
        (&[0, 0], r#"{"data":[{"index":0,"embedding":"AACAPwAAAL8="}],"model":"x"}"#),
        (&[5, 0], r#"{"texts":["a"],"images":["data:image/png;base64,AAAA"],"input_type":"search_query"}"#),
        (
            &[5, 0],
            r#"{"inputs":[{"content":[{"type":"text","text":"a"}]}],"embedding_types":["int8","float"]}"#,
        ),
        (
            &[5, 0],
            r#"{"id":"e","embeddings":{"float":[[1.0]],"base64":["AACAPw=="]},"meta":{"billed_units":{"input_tokens":1.0}}}"#,
        ),
        (
            &[3, 0],
            r#"{"requests":[{"model":"models/x","content":{"parts":[{"text":"a"}]},"taskType":"RETRIEVAL_QUERY"}]}"#,
        ),
        (&[3, 0], r#"{"embeddings":[{"values":[1.0]}],"usageMetadata":{"promptTokenCount":3}}"#),
        (&[4, 0], r#"{"embedding":[1.0],"inputTextTokenCount":3}"#),
        (
            &[5, 1],
            r#"{"model":"m","query":"q","documents":["a",{"text":"b"}],"top_n":2,"return_documents":true}"#,
        ),
        (
            &[5, 1],
            r#"{"results":[{"index":1,"relevance_score":0.5}],"meta":{"billed_units":{"search_units":1}}}"#,
        ),
        (&[3, 2], r#"{"generateContentRequest":{"model":"models/x","contents":[{"parts":[{"text":"a"}]}]}}"#),
        (&[4, 2], r#"{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"a"}]}]}}}"#),
        (&[1, 2], r#"{"object":"response.input_tokens","input_tokens":14}"#),
    ]
}
