//! What the facts leave to judgement, as tables: whose an environment variable is, and how a key is tried.

use crate::catalog::{facts::Provider, text::quoted};

/// Goes in another header than the API key.
pub(super) const ANTHROPIC_BEARER_ENV: &str = "ANTHROPIC_AUTH_TOKEN";
pub(super) const ANTHROPIC_BEARER: &str =
    r#"{ scheme = "header", name = "authorization", prefix = "Bearer ", env = "ANTHROPIC_AUTH_TOKEN" }"#;

/// A name that several providers share stands for this one alone, so that no key goes to a place that it was not made
/// for. An empty owner: a name that is often set for something else.
const OWNERS: &[(&str, &str)] = &[
    ("ALIBABA_CODING_PLAN_API_KEY", "alibaba-coding-plan"),
    ("ALIBABA_TOKEN_PLAN_API_KEY", "alibaba-token-plan"),
    ("ARK_API_KEY", "volcengine"),
    ("AWS_BEARER_TOKEN_BEDROCK", "bedrock-mantle"),
    ("CLOUDFLARE_API_TOKEN", "cloudflare-workers-ai"),
    ("DASHSCOPE_API_KEY", "alibaba"),
    ("GITHUB_API_KEY", ""),
    ("GITHUB_TOKEN", ""),
    ("LLAMA_API_KEY", "llama-api"),
    ("MINIMAX_API_KEY", "minimax"),
    ("MOONSHOT_API_KEY", "moonshot"),
    ("OLLAMA_API_KEY", "ollama-cloud"),
    ("OPENCODE_API_KEY", "opencode-zen"),
    ("SILICONFLOW_API_KEY", "siliconflow"),
    ("STEPFUN_API_KEY", "stepfun"),
    ("XIAOMI_API_KEY", "xiaomi"),
    ("ZHIPU_API_KEY", "zhipu"),
];

/// Names whose value is no credential by itself.
const SETTINGS: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_AI_API_BASE",
    "AZURE_COGNITIVE_SERVICES_RESOURCE_NAME",
    "AZURE_OPENAI_ENDPOINT",
    "AZURE_RESOURCE_NAME",
    "CLOUDFLARE_ACCOUNT_ID",
    "CLOUDFLARE_GATEWAY_ID",
    "DATABRICKS_HOST",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_VERTEX_LOCATION",
    "GOOGLE_VERTEX_PROJECT",
    "NEON_AI_GATEWAY_BASE_URL",
    "PREDIBASE_TENANT_ID",
    "PRIVATEMODE_ENDPOINT",
    "SNOWFLAKE_ACCOUNT",
];

/// Rows whose list of models is no test of a key, or which have none.
const PROBES: &[(&str, &str)] = &[
    ("bedrock", "https://bedrock.{region}.amazonaws.com/foundation-models"),
    ("google-vertex", "none"),
    // Its list of models is public.
    ("openrouter", "/key"),
];

/// Rows whose chat API is the one that OpenAI documents, not a relative of it.
const OPENAI: [&str; 2] = ["azure-openai", "openai"];

/// A provider's environment variables by what they are.
#[derive(Default)]
pub(super) struct Env {
    pub(super) keys: Vec<String>,
    pub(super) shared: Vec<String>,
    pub(super) settings: Vec<String>,
}

impl Env {
    pub(super) fn of(fact: &Provider) -> Self {
        let mut env = Self::default();
        // A name that begins with a digit cannot be set in a shell.
        let settable = |name: &&String| !name.starts_with(|c: char| c.is_ascii_digit());
        for name in fact.env.iter().filter(settable).filter(|name| *name != ANTHROPIC_BEARER_ENV) {
            let owner = OWNERS.iter().find(|(shared, _)| shared == name).map(|(_, owner)| *owner);
            let list = if SETTINGS.contains(&name.as_str()) {
                &mut env.settings
            } else if owner.is_some_and(|owner| owner != fact.id) {
                &mut env.shared
            } else {
                &mut env.keys
            };
            list.push(name.clone());
        }
        env
    }
}

pub(super) fn probe(id: &str) -> Option<&'static str> {
    PROBES.iter().find(|(row, _)| *row == id).map(|(_, probe)| *probe)
}

/// What a relative of OpenAI's chat is told: the words that all of them know, until rules by hand say more. The field of
/// thoughts is a fact's, where that is no sentence; of two the first.
pub(super) fn relative(fact: &Provider) -> Vec<(&'static str, String)> {
    let words = ["old_max_tokens", "no_developer_role", "no_extras", "no_cache_key"]
        .map(|name| (name, "true".to_owned()));
    let mut quirks = if OPENAI.contains(&fact.id.as_str()) { Vec::new() } else { words.to_vec() };
    let field = fact.reasoning_field.as_deref().and_then(|field| field.split([' ', '/']).next());
    let field = field.filter(|field| field.starts_with("reasoning"));
    quirks.extend(field.map(|field| ("reasoning_field", quoted(field))));
    quirks
}
