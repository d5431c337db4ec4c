//! Written by `cargo xtask catalog`: every file of catalog/.

use crate::rows::Files;

/// Rows with a price that the last import wrote; hand-written files are not among them.
#[cfg(test)]
pub(crate) const PRICED_ROWS: usize = 4970;

pub(crate) const FILES: &[Files] = &[
    Files {
        id: "302ai",
        provider: include_str!("../../../catalog/providers/302ai.toml"),
        models: "",
    },
    Files {
        id: "abacus",
        provider: include_str!("../../../catalog/providers/abacus.toml"),
        models: "",
    },
    Files {
        id: "abliteration",
        provider: include_str!("../../../catalog/providers/abliteration.toml"),
        models: include_str!("../../../catalog/models/abliteration.toml"),
    },
    Files {
        id: "ai21",
        provider: include_str!("../../../catalog/providers/ai21.toml"),
        models: include_str!("../../../catalog/models/ai21.toml"),
    },
    Files {
        id: "aiand",
        provider: include_str!("../../../catalog/providers/aiand.toml"),
        models: include_str!("../../../catalog/models/aiand.toml"),
    },
    Files {
        id: "aibadgr",
        provider: include_str!("../../../catalog/providers/aibadgr.toml"),
        models: "",
    },
    Files {
        id: "aihubmix",
        provider: include_str!("../../../catalog/providers/aihubmix.toml"),
        models: include_str!("../../../catalog/models/aihubmix.toml"),
    },
    Files {
        id: "aimlapi",
        provider: include_str!("../../../catalog/providers/aimlapi.toml"),
        models: include_str!("../../../catalog/models/aimlapi.toml"),
    },
    Files {
        id: "alibaba",
        provider: include_str!("../../../catalog/providers/alibaba.toml"),
        models: include_str!("../../../catalog/models/alibaba.toml"),
    },
    Files {
        id: "alibaba-cn",
        provider: include_str!("../../../catalog/providers/alibaba-cn.toml"),
        models: include_str!("../../../catalog/models/alibaba-cn.toml"),
    },
    Files {
        id: "alibaba-coding-plan",
        provider: include_str!("../../../catalog/providers/alibaba-coding-plan.toml"),
        models: "",
    },
    Files {
        id: "alibaba-coding-plan-cn",
        provider: include_str!("../../../catalog/providers/alibaba-coding-plan-cn.toml"),
        models: "",
    },
    Files {
        id: "alibaba-token-plan",
        provider: include_str!("../../../catalog/providers/alibaba-token-plan.toml"),
        models: "",
    },
    Files {
        id: "alibaba-token-plan-cn",
        provider: include_str!("../../../catalog/providers/alibaba-token-plan-cn.toml"),
        models: "",
    },
    Files {
        id: "amazon-nova",
        provider: include_str!("../../../catalog/providers/amazon-nova.toml"),
        models: include_str!("../../../catalog/models/amazon-nova.toml"),
    },
    Files {
        id: "ambient",
        provider: include_str!("../../../catalog/providers/ambient.toml"),
        models: "",
    },
    Files {
        id: "anthropic",
        provider: include_str!("../../../catalog/providers/anthropic.toml"),
        models: include_str!("../../../catalog/models/anthropic.toml"),
    },
    Files {
        id: "anyapi",
        provider: include_str!("../../../catalog/providers/anyapi.toml"),
        models: "",
    },
    Files {
        id: "anyscale",
        provider: include_str!("../../../catalog/providers/anyscale.toml"),
        models: include_str!("../../../catalog/models/anyscale.toml"),
    },
    Files {
        id: "apertis",
        provider: include_str!("../../../catalog/providers/apertis.toml"),
        models: "",
    },
    Files {
        id: "arcee",
        provider: include_str!("../../../catalog/providers/arcee.toml"),
        models: include_str!("../../../catalog/models/arcee.toml"),
    },
    Files {
        id: "assemblyai",
        provider: include_str!("../../../catalog/providers/assemblyai.toml"),
        models: include_str!("../../../catalog/models/assemblyai.toml"),
    },
    Files {
        id: "atomic-chat",
        provider: include_str!("../../../catalog/providers/atomic-chat.toml"),
        models: "",
    },
    Files {
        id: "auriko",
        provider: include_str!("../../../catalog/providers/auriko.toml"),
        models: "",
    },
    Files {
        id: "avian",
        provider: include_str!("../../../catalog/providers/avian.toml"),
        models: include_str!("../../../catalog/models/avian.toml"),
    },
    Files {
        id: "azure-ai",
        provider: include_str!("../../../catalog/providers/azure-ai.toml"),
        models: include_str!("../../../catalog/models/azure-ai.toml"),
    },
    Files {
        id: "azure-openai",
        provider: include_str!("../../../catalog/providers/azure-openai.toml"),
        models: include_str!("../../../catalog/models/azure-openai.toml"),
    },
    Files {
        id: "bailing",
        provider: include_str!("../../../catalog/providers/bailing.toml"),
        models: "",
    },
    Files {
        id: "baseten",
        provider: include_str!("../../../catalog/providers/baseten.toml"),
        models: include_str!("../../../catalog/models/baseten.toml"),
    },
    Files {
        id: "bedrock",
        provider: include_str!("../../../catalog/providers/bedrock.toml"),
        models: include_str!("../../../catalog/models/bedrock.toml"),
    },
    Files {
        id: "bedrock-mantle",
        provider: include_str!("../../../catalog/providers/bedrock-mantle.toml"),
        models: include_str!("../../../catalog/models/bedrock-mantle.toml"),
    },
    Files {
        id: "berget",
        provider: include_str!("../../../catalog/providers/berget.toml"),
        models: "",
    },
    Files {
        id: "byteplus",
        provider: include_str!("../../../catalog/providers/byteplus.toml"),
        models: "",
    },
    Files {
        id: "cerebras",
        provider: include_str!("../../../catalog/providers/cerebras.toml"),
        models: include_str!("../../../catalog/models/cerebras.toml"),
    },
    Files {
        id: "charity-engine",
        provider: include_str!("../../../catalog/providers/charity-engine.toml"),
        models: "",
    },
    Files {
        id: "chatgpt",
        provider: include_str!("../../../catalog/providers/chatgpt.toml"),
        models: "",
    },
    Files {
        id: "chutes",
        provider: include_str!("../../../catalog/providers/chutes.toml"),
        models: "",
    },
    Files {
        id: "clarifai",
        provider: include_str!("../../../catalog/providers/clarifai.toml"),
        models: "",
    },
    Files {
        id: "claudinio",
        provider: include_str!("../../../catalog/providers/claudinio.toml"),
        models: "",
    },
    Files {
        id: "clf-ai-gateway",
        provider: include_str!("../../../catalog/providers/clf-ai-gateway.toml"),
        models: include_str!("../../../catalog/models/clf-ai-gateway.toml"),
    },
    Files {
        id: "cloudferro-sherlock",
        provider: include_str!("../../../catalog/providers/cloudferro-sherlock.toml"),
        models: "",
    },
    Files {
        id: "cloudflare-ai-gateway",
        provider: include_str!("../../../catalog/providers/cloudflare-ai-gateway.toml"),
        models: "",
    },
    Files {
        id: "cloudflare-workers-ai",
        provider: include_str!("../../../catalog/providers/cloudflare-workers-ai.toml"),
        models: include_str!("../../../catalog/models/cloudflare-workers-ai.toml"),
    },
    Files {
        id: "codestral",
        provider: include_str!("../../../catalog/providers/codestral.toml"),
        models: include_str!("../../../catalog/models/codestral.toml"),
    },
    Files {
        id: "cognition",
        provider: include_str!("../../../catalog/providers/cognition.toml"),
        models: include_str!("../../../catalog/models/cognition.toml"),
    },
    Files {
        id: "cohere",
        provider: include_str!("../../../catalog/providers/cohere.toml"),
        models: include_str!("../../../catalog/models/cohere.toml"),
    },
    Files {
        id: "cometapi",
        provider: include_str!("../../../catalog/providers/cometapi.toml"),
        models: "",
    },
    Files {
        id: "compactifai",
        provider: include_str!("../../../catalog/providers/compactifai.toml"),
        models: "",
    },
    Files {
        id: "coralbricks",
        provider: include_str!("../../../catalog/providers/coralbricks.toml"),
        models: include_str!("../../../catalog/models/coralbricks.toml"),
    },
    Files {
        id: "cortecs",
        provider: include_str!("../../../catalog/providers/cortecs.toml"),
        models: "",
    },
    Files {
        id: "crof",
        provider: include_str!("../../../catalog/providers/crof.toml"),
        models: "",
    },
    Files {
        id: "crusoe",
        provider: include_str!("../../../catalog/providers/crusoe.toml"),
        models: include_str!("../../../catalog/models/crusoe.toml"),
    },
    Files {
        id: "d-run",
        provider: include_str!("../../../catalog/providers/d-run.toml"),
        models: "",
    },
    Files {
        id: "darkbloom",
        provider: include_str!("../../../catalog/providers/darkbloom.toml"),
        models: include_str!("../../../catalog/models/darkbloom.toml"),
    },
    Files {
        id: "databricks",
        provider: include_str!("../../../catalog/providers/databricks.toml"),
        models: include_str!("../../../catalog/models/databricks.toml"),
    },
    Files {
        id: "deepbricks",
        provider: include_str!("../../../catalog/providers/deepbricks.toml"),
        models: "",
    },
    Files {
        id: "deepinfra",
        provider: include_str!("../../../catalog/providers/deepinfra.toml"),
        models: include_str!("../../../catalog/models/deepinfra.toml"),
    },
    Files {
        id: "deepseek",
        provider: include_str!("../../../catalog/providers/deepseek.toml"),
        models: include_str!("../../../catalog/models/deepseek.toml"),
    },
    Files {
        id: "digitalocean",
        provider: include_str!("../../../catalog/providers/digitalocean.toml"),
        models: include_str!("../../../catalog/models/digitalocean.toml"),
    },
    Files {
        id: "dinference",
        provider: include_str!("../../../catalog/providers/dinference.toml"),
        models: "",
    },
    Files {
        id: "docker-model-runner",
        provider: include_str!("../../../catalog/providers/docker-model-runner.toml"),
        models: "",
    },
    Files {
        id: "doubleword",
        provider: include_str!("../../../catalog/providers/doubleword.toml"),
        models: include_str!("../../../catalog/models/doubleword.toml"),
    },
    Files {
        id: "edenai",
        provider: include_str!("../../../catalog/providers/edenai.toml"),
        models: "",
    },
    Files {
        id: "empiriolabs",
        provider: include_str!("../../../catalog/providers/empiriolabs.toml"),
        models: "",
    },
    Files {
        id: "evroc",
        provider: include_str!("../../../catalog/providers/evroc.toml"),
        models: "",
    },
    Files {
        id: "fastrouter",
        provider: include_str!("../../../catalog/providers/fastrouter.toml"),
        models: "",
    },
    Files {
        id: "featherless",
        provider: include_str!("../../../catalog/providers/featherless.toml"),
        models: "",
    },
    Files {
        id: "fireworks",
        provider: include_str!("../../../catalog/providers/fireworks.toml"),
        models: include_str!("../../../catalog/models/fireworks.toml"),
    },
    Files {
        id: "freemodel",
        provider: include_str!("../../../catalog/providers/freemodel.toml"),
        models: "",
    },
    Files {
        id: "friendli",
        provider: include_str!("../../../catalog/providers/friendli.toml"),
        models: include_str!("../../../catalog/models/friendli.toml"),
    },
    Files {
        id: "frogbot",
        provider: include_str!("../../../catalog/providers/frogbot.toml"),
        models: "",
    },
    Files {
        id: "gigachat",
        provider: include_str!("../../../catalog/providers/gigachat.toml"),
        models: include_str!("../../../catalog/models/gigachat.toml"),
    },
    Files {
        id: "github-copilot",
        provider: include_str!("../../../catalog/providers/github-copilot.toml"),
        models: include_str!("../../../catalog/models/github-copilot.toml"),
    },
    Files {
        id: "github-models",
        provider: include_str!("../../../catalog/providers/github-models.toml"),
        models: "",
    },
    Files {
        id: "gmi-cloud",
        provider: include_str!("../../../catalog/providers/gmi-cloud.toml"),
        models: include_str!("../../../catalog/models/gmi-cloud.toml"),
    },
    Files {
        id: "google",
        provider: include_str!("../../../catalog/providers/google.toml"),
        models: include_str!("../../../catalog/models/google.toml"),
    },
    Files {
        id: "google-vertex",
        provider: include_str!("../../../catalog/providers/google-vertex.toml"),
        models: include_str!("../../../catalog/models/google-vertex.toml"),
    },
    Files {
        id: "gpt4all",
        provider: include_str!("../../../catalog/providers/gpt4all.toml"),
        models: "",
    },
    Files {
        id: "groq",
        provider: include_str!("../../../catalog/providers/groq.toml"),
        models: include_str!("../../../catalog/models/groq.toml"),
    },
    Files {
        id: "helicone",
        provider: include_str!("../../../catalog/providers/helicone.toml"),
        models: "",
    },
    Files {
        id: "heroku",
        provider: include_str!("../../../catalog/providers/heroku.toml"),
        models: "",
    },
    Files {
        id: "hostinger",
        provider: include_str!("../../../catalog/providers/hostinger.toml"),
        models: include_str!("../../../catalog/models/hostinger.toml"),
    },
    Files {
        id: "hpc-ai",
        provider: include_str!("../../../catalog/providers/hpc-ai.toml"),
        models: "",
    },
    Files {
        id: "huggingface",
        provider: include_str!("../../../catalog/providers/huggingface.toml"),
        models: "",
    },
    Files {
        id: "hyperbolic",
        provider: include_str!("../../../catalog/providers/hyperbolic.toml"),
        models: include_str!("../../../catalog/models/hyperbolic.toml"),
    },
    Files {
        id: "iflow",
        provider: include_str!("../../../catalog/providers/iflow.toml"),
        models: "",
    },
    Files {
        id: "inception",
        provider: include_str!("../../../catalog/providers/inception.toml"),
        models: include_str!("../../../catalog/models/inception.toml"),
    },
    Files {
        id: "inceptron",
        provider: include_str!("../../../catalog/providers/inceptron.toml"),
        models: "",
    },
    Files {
        id: "inference-net",
        provider: include_str!("../../../catalog/providers/inference-net.toml"),
        models: "",
    },
    Files {
        id: "inferenceapis",
        provider: include_str!("../../../catalog/providers/inferenceapis.toml"),
        models: include_str!("../../../catalog/models/inferenceapis.toml"),
    },
    Files {
        id: "infinity",
        provider: include_str!("../../../catalog/providers/infinity.toml"),
        models: "",
    },
    Files {
        id: "io-net",
        provider: include_str!("../../../catalog/providers/io-net.toml"),
        models: "",
    },
    Files {
        id: "jan",
        provider: include_str!("../../../catalog/providers/jan.toml"),
        models: "",
    },
    Files {
        id: "jiekou",
        provider: include_str!("../../../catalog/providers/jiekou.toml"),
        models: "",
    },
    Files {
        id: "jina",
        provider: include_str!("../../../catalog/providers/jina.toml"),
        models: include_str!("../../../catalog/models/jina.toml"),
    },
    Files {
        id: "kilo",
        provider: include_str!("../../../catalog/providers/kilo.toml"),
        models: "",
    },
    Files {
        id: "kimi-for-coding",
        provider: include_str!("../../../catalog/providers/kimi-for-coding.toml"),
        models: "",
    },
    Files {
        id: "kluster-ai",
        provider: include_str!("../../../catalog/providers/kluster-ai.toml"),
        models: "",
    },
    Files {
        id: "koboldcpp",
        provider: include_str!("../../../catalog/providers/koboldcpp.toml"),
        models: "",
    },
    Files {
        id: "krutrim",
        provider: include_str!("../../../catalog/providers/krutrim.toml"),
        models: "",
    },
    Files {
        id: "kuae-cloud-coding-plan",
        provider: include_str!("../../../catalog/providers/kuae-cloud-coding-plan.toml"),
        models: "",
    },
    Files {
        id: "kyma",
        provider: include_str!("../../../catalog/providers/kyma.toml"),
        models: include_str!("../../../catalog/models/kyma.toml"),
    },
    Files {
        id: "lambda",
        provider: include_str!("../../../catalog/providers/lambda.toml"),
        models: include_str!("../../../catalog/models/lambda.toml"),
    },
    Files {
        id: "lemonade",
        provider: include_str!("../../../catalog/providers/lemonade.toml"),
        models: include_str!("../../../catalog/models/lemonade.toml"),
    },
    Files {
        id: "lemonfox",
        provider: include_str!("../../../catalog/providers/lemonfox.toml"),
        models: "",
    },
    Files {
        id: "lepton",
        provider: include_str!("../../../catalog/providers/lepton.toml"),
        models: "",
    },
    Files {
        id: "libertai",
        provider: include_str!("../../../catalog/providers/libertai.toml"),
        models: include_str!("../../../catalog/models/libertai.toml"),
    },
    Files {
        id: "lilac",
        provider: include_str!("../../../catalog/providers/lilac.toml"),
        models: "",
    },
    Files {
        id: "lingyi-01ai",
        provider: include_str!("../../../catalog/providers/lingyi-01ai.toml"),
        models: "",
    },
    Files {
        id: "litellm-proxy",
        provider: include_str!("../../../catalog/providers/litellm-proxy.toml"),
        models: "",
    },
    Files {
        id: "llama-api",
        provider: include_str!("../../../catalog/providers/llama-api.toml"),
        models: "",
    },
    Files {
        id: "llama-cpp",
        provider: include_str!("../../../catalog/providers/llama-cpp.toml"),
        models: "",
    },
    Files {
        id: "llamafile",
        provider: include_str!("../../../catalog/providers/llamafile.toml"),
        models: "",
    },
    Files {
        id: "llamagate",
        provider: include_str!("../../../catalog/providers/llamagate.toml"),
        models: include_str!("../../../catalog/models/llamagate.toml"),
    },
    Files {
        id: "llmgateway",
        provider: include_str!("../../../catalog/providers/llmgateway.toml"),
        models: "",
    },
    Files {
        id: "llmtr",
        provider: include_str!("../../../catalog/providers/llmtr.toml"),
        models: "",
    },
    Files {
        id: "lm-studio",
        provider: include_str!("../../../catalog/providers/lm-studio.toml"),
        models: "",
    },
    Files {
        id: "localai",
        provider: include_str!("../../../catalog/providers/localai.toml"),
        models: "",
    },
    Files {
        id: "lucidquery",
        provider: include_str!("../../../catalog/providers/lucidquery.toml"),
        models: "",
    },
    Files {
        id: "manus",
        provider: include_str!("../../../catalog/providers/manus.toml"),
        models: "",
    },
    Files {
        id: "maritalk",
        provider: include_str!("../../../catalog/providers/maritalk.toml"),
        models: "",
    },
    Files {
        id: "matterai",
        provider: include_str!("../../../catalog/providers/matterai.toml"),
        models: "",
    },
    Files {
        id: "meganova",
        provider: include_str!("../../../catalog/providers/meganova.toml"),
        models: "",
    },
    Files {
        id: "merge-gateway",
        provider: include_str!("../../../catalog/providers/merge-gateway.toml"),
        models: "",
    },
    Files {
        id: "meta-ai",
        provider: include_str!("../../../catalog/providers/meta-ai.toml"),
        models: include_str!("../../../catalog/models/meta-ai.toml"),
    },
    Files {
        id: "minimax",
        provider: include_str!("../../../catalog/providers/minimax.toml"),
        models: include_str!("../../../catalog/models/minimax.toml"),
    },
    Files {
        id: "minimax-cn",
        provider: include_str!("../../../catalog/providers/minimax-cn.toml"),
        models: "",
    },
    Files {
        id: "minimax-cn-coding-plan",
        provider: include_str!("../../../catalog/providers/minimax-cn-coding-plan.toml"),
        models: "",
    },
    Files {
        id: "minimax-coding-plan",
        provider: include_str!("../../../catalog/providers/minimax-coding-plan.toml"),
        models: "",
    },
    Files {
        id: "mistral",
        provider: include_str!("../../../catalog/providers/mistral.toml"),
        models: include_str!("../../../catalog/models/mistral.toml"),
    },
    Files {
        id: "mixlayer",
        provider: include_str!("../../../catalog/providers/mixlayer.toml"),
        models: "",
    },
    Files {
        id: "mlx-lm",
        provider: include_str!("../../../catalog/providers/mlx-lm.toml"),
        models: "",
    },
    Files {
        id: "moark",
        provider: include_str!("../../../catalog/providers/moark.toml"),
        models: "",
    },
    Files {
        id: "modal",
        provider: include_str!("../../../catalog/providers/modal.toml"),
        models: include_str!("../../../catalog/models/modal.toml"),
    },
    Files {
        id: "modelscope",
        provider: include_str!("../../../catalog/providers/modelscope.toml"),
        models: "",
    },
    Files {
        id: "monsterapi",
        provider: include_str!("../../../catalog/providers/monsterapi.toml"),
        models: "",
    },
    Files {
        id: "moonshot",
        provider: include_str!("../../../catalog/providers/moonshot.toml"),
        models: include_str!("../../../catalog/models/moonshot.toml"),
    },
    Files {
        id: "moonshot-cn",
        provider: include_str!("../../../catalog/providers/moonshot-cn.toml"),
        models: "",
    },
    Files {
        id: "morph",
        provider: include_str!("../../../catalog/providers/morph.toml"),
        models: include_str!("../../../catalog/models/morph.toml"),
    },
    Files {
        id: "nano-gpt",
        provider: include_str!("../../../catalog/providers/nano-gpt.toml"),
        models: "",
    },
    Files {
        id: "ncompass",
        provider: include_str!("../../../catalog/providers/ncompass.toml"),
        models: "",
    },
    Files {
        id: "nearai",
        provider: include_str!("../../../catalog/providers/nearai.toml"),
        models: "",
    },
    Files {
        id: "nebius",
        provider: include_str!("../../../catalog/providers/nebius.toml"),
        models: include_str!("../../../catalog/models/nebius.toml"),
    },
    Files {
        id: "neon",
        provider: include_str!("../../../catalog/providers/neon.toml"),
        models: "",
    },
    Files {
        id: "neosantara",
        provider: include_str!("../../../catalog/providers/neosantara.toml"),
        models: "",
    },
    Files {
        id: "neuralwatt",
        provider: include_str!("../../../catalog/providers/neuralwatt.toml"),
        models: "",
    },
    Files {
        id: "nextbit",
        provider: include_str!("../../../catalog/providers/nextbit.toml"),
        models: "",
    },
    Files {
        id: "novita",
        provider: include_str!("../../../catalog/providers/novita.toml"),
        models: include_str!("../../../catalog/models/novita.toml"),
    },
    Files {
        id: "nscale",
        provider: include_str!("../../../catalog/providers/nscale.toml"),
        models: include_str!("../../../catalog/models/nscale.toml"),
    },
    Files {
        id: "nvidia",
        provider: include_str!("../../../catalog/providers/nvidia.toml"),
        models: include_str!("../../../catalog/models/nvidia.toml"),
    },
    Files {
        id: "ollama",
        provider: include_str!("../../../catalog/providers/ollama.toml"),
        models: include_str!("../../../catalog/models/ollama.toml"),
    },
    Files {
        id: "ollama-cloud",
        provider: include_str!("../../../catalog/providers/ollama-cloud.toml"),
        models: "",
    },
    Files {
        id: "openai",
        provider: include_str!("../../../catalog/providers/openai.toml"),
        models: include_str!("../../../catalog/models/openai.toml"),
    },
    Files {
        id: "opencode-go",
        provider: include_str!("../../../catalog/providers/opencode-go.toml"),
        models: include_str!("../../../catalog/models/opencode-go.toml"),
    },
    Files {
        id: "opencode-zen",
        provider: include_str!("../../../catalog/providers/opencode-zen.toml"),
        models: "",
    },
    Files {
        id: "openinfer",
        provider: include_str!("../../../catalog/providers/openinfer.toml"),
        models: include_str!("../../../catalog/models/openinfer.toml"),
    },
    Files {
        id: "openrouter",
        provider: include_str!("../../../catalog/providers/openrouter.toml"),
        models: include_str!("../../../catalog/models/openrouter.toml"),
    },
    Files {
        id: "orcarouter",
        provider: include_str!("../../../catalog/providers/orcarouter.toml"),
        models: "",
    },
    Files {
        id: "ovhcloud",
        provider: include_str!("../../../catalog/providers/ovhcloud.toml"),
        models: include_str!("../../../catalog/models/ovhcloud.toml"),
    },
    Files {
        id: "parasail",
        provider: include_str!("../../../catalog/providers/parasail.toml"),
        models: "",
    },
    Files {
        id: "perplexity",
        provider: include_str!("../../../catalog/providers/perplexity.toml"),
        models: include_str!("../../../catalog/models/perplexity.toml"),
    },
    Files {
        id: "pinstripes",
        provider: include_str!("../../../catalog/providers/pinstripes.toml"),
        models: include_str!("../../../catalog/models/pinstripes.toml"),
    },
    Files {
        id: "poe",
        provider: include_str!("../../../catalog/providers/poe.toml"),
        models: "",
    },
    Files {
        id: "poolside",
        provider: include_str!("../../../catalog/providers/poolside.toml"),
        models: "",
    },
    Files {
        id: "predibase",
        provider: include_str!("../../../catalog/providers/predibase.toml"),
        models: "",
    },
    Files {
        id: "prism",
        provider: include_str!("../../../catalog/providers/prism.toml"),
        models: include_str!("../../../catalog/models/prism.toml"),
    },
    Files {
        id: "privatemode",
        provider: include_str!("../../../catalog/providers/privatemode.toml"),
        models: "",
    },
    Files {
        id: "publicai",
        provider: include_str!("../../../catalog/providers/publicai.toml"),
        models: include_str!("../../../catalog/models/publicai.toml"),
    },
    Files {
        id: "qihang",
        provider: include_str!("../../../catalog/providers/qihang.toml"),
        models: "",
    },
    Files {
        id: "qiniu",
        provider: include_str!("../../../catalog/providers/qiniu.toml"),
        models: "",
    },
    Files {
        id: "quicksilverpro",
        provider: include_str!("../../../catalog/providers/quicksilverpro.toml"),
        models: include_str!("../../../catalog/models/quicksilverpro.toml"),
    },
    Files {
        id: "recraft",
        provider: include_str!("../../../catalog/providers/recraft.toml"),
        models: include_str!("../../../catalog/models/recraft.toml"),
    },
    Files {
        id: "refuseless",
        provider: include_str!("../../../catalog/providers/refuseless.toml"),
        models: include_str!("../../../catalog/models/refuseless.toml"),
    },
    Files {
        id: "regolo",
        provider: include_str!("../../../catalog/providers/regolo.toml"),
        models: "",
    },
    Files {
        id: "reka",
        provider: include_str!("../../../catalog/providers/reka.toml"),
        models: "",
    },
    Files {
        id: "requesty",
        provider: include_str!("../../../catalog/providers/requesty.toml"),
        models: "",
    },
    Files {
        id: "routing-run",
        provider: include_str!("../../../catalog/providers/routing-run.toml"),
        models: "",
    },
    Files {
        id: "sail",
        provider: include_str!("../../../catalog/providers/sail.toml"),
        models: include_str!("../../../catalog/models/sail.toml"),
    },
    Files {
        id: "sakana",
        provider: include_str!("../../../catalog/providers/sakana.toml"),
        models: "",
    },
    Files {
        id: "sambanova",
        provider: include_str!("../../../catalog/providers/sambanova.toml"),
        models: include_str!("../../../catalog/models/sambanova.toml"),
    },
    Files {
        id: "sandbox",
        provider: include_str!("../../../catalog/providers/sandbox.toml"),
        models: include_str!("../../../catalog/models/sandbox.toml"),
    },
    Files {
        id: "sarvam",
        provider: include_str!("../../../catalog/providers/sarvam.toml"),
        models: include_str!("../../../catalog/models/sarvam.toml"),
    },
    Files {
        id: "scaleway",
        provider: include_str!("../../../catalog/providers/scaleway.toml"),
        models: include_str!("../../../catalog/models/scaleway.toml"),
    },
    Files {
        id: "scx-ai",
        provider: include_str!("../../../catalog/providers/scx-ai.toml"),
        models: include_str!("../../../catalog/models/scx-ai.toml"),
    },
    Files {
        id: "sglang",
        provider: include_str!("../../../catalog/providers/sglang.toml"),
        models: "",
    },
    Files {
        id: "siliconflow",
        provider: include_str!("../../../catalog/providers/siliconflow.toml"),
        models: "",
    },
    Files {
        id: "siliconflow-cn",
        provider: include_str!("../../../catalog/providers/siliconflow-cn.toml"),
        models: "",
    },
    Files {
        id: "snowflake-cortex",
        provider: include_str!("../../../catalog/providers/snowflake-cortex.toml"),
        models: include_str!("../../../catalog/models/snowflake-cortex.toml"),
    },
    Files {
        id: "speaches",
        provider: include_str!("../../../catalog/providers/speaches.toml"),
        models: "",
    },
    Files {
        id: "stackit",
        provider: include_str!("../../../catalog/providers/stackit.toml"),
        models: "",
    },
    Files {
        id: "stepfun",
        provider: include_str!("../../../catalog/providers/stepfun.toml"),
        models: "",
    },
    Files {
        id: "stepfun-intl",
        provider: include_str!("../../../catalog/providers/stepfun-intl.toml"),
        models: "",
    },
    Files {
        id: "streamlake",
        provider: include_str!("../../../catalog/providers/streamlake.toml"),
        models: include_str!("../../../catalog/models/streamlake.toml"),
    },
    Files {
        id: "subconscious",
        provider: include_str!("../../../catalog/providers/subconscious.toml"),
        models: "",
    },
    Files {
        id: "submodel",
        provider: include_str!("../../../catalog/providers/submodel.toml"),
        models: "",
    },
    Files {
        id: "synthetic",
        provider: include_str!("../../../catalog/providers/synthetic.toml"),
        models: "",
    },
    Files {
        id: "tabbyapi",
        provider: include_str!("../../../catalog/providers/tabbyapi.toml"),
        models: "",
    },
    Files {
        id: "tei",
        provider: include_str!("../../../catalog/providers/tei.toml"),
        models: "",
    },
    Files {
        id: "tencent-coding-plan",
        provider: include_str!("../../../catalog/providers/tencent-coding-plan.toml"),
        models: "",
    },
    Files {
        id: "tencent-tokenhub",
        provider: include_str!("../../../catalog/providers/tencent-tokenhub.toml"),
        models: include_str!("../../../catalog/models/tencent-tokenhub.toml"),
    },
    Files {
        id: "tensormesh",
        provider: include_str!("../../../catalog/providers/tensormesh.toml"),
        models: include_str!("../../../catalog/models/tensormesh.toml"),
    },
    Files {
        id: "text-generation-webui",
        provider: include_str!("../../../catalog/providers/text-generation-webui.toml"),
        models: "",
    },
    Files {
        id: "tgi",
        provider: include_str!("../../../catalog/providers/tgi.toml"),
        models: "",
    },
    Files {
        id: "the-grid",
        provider: include_str!("../../../catalog/providers/the-grid.toml"),
        models: "",
    },
    Files {
        id: "tinfoil",
        provider: include_str!("../../../catalog/providers/tinfoil.toml"),
        models: "",
    },
    Files {
        id: "together",
        provider: include_str!("../../../catalog/providers/together.toml"),
        models: include_str!("../../../catalog/models/together.toml"),
    },
    Files {
        id: "umans",
        provider: include_str!("../../../catalog/providers/umans.toml"),
        models: "",
    },
    Files {
        id: "umans-ai-coding-plan",
        provider: include_str!("../../../catalog/providers/umans-ai-coding-plan.toml"),
        models: "",
    },
    Files {
        id: "upstage",
        provider: include_str!("../../../catalog/providers/upstage.toml"),
        models: "",
    },
    Files {
        id: "v0",
        provider: include_str!("../../../catalog/providers/v0.toml"),
        models: include_str!("../../../catalog/models/v0.toml"),
    },
    Files {
        id: "venice",
        provider: include_str!("../../../catalog/providers/venice.toml"),
        models: "",
    },
    Files {
        id: "vercel-ai-gateway",
        provider: include_str!("../../../catalog/providers/vercel-ai-gateway.toml"),
        models: include_str!("../../../catalog/models/vercel-ai-gateway.toml"),
    },
    Files {
        id: "vivgrid",
        provider: include_str!("../../../catalog/providers/vivgrid.toml"),
        models: "",
    },
    Files {
        id: "vllm",
        provider: include_str!("../../../catalog/providers/vllm.toml"),
        models: "",
    },
    Files {
        id: "volcengine",
        provider: include_str!("../../../catalog/providers/volcengine.toml"),
        models: include_str!("../../../catalog/models/volcengine.toml"),
    },
    Files {
        id: "vultr",
        provider: include_str!("../../../catalog/providers/vultr.toml"),
        models: "",
    },
    Files {
        id: "wafer",
        provider: include_str!("../../../catalog/providers/wafer.toml"),
        models: "",
    },
    Files {
        id: "wandb",
        provider: include_str!("../../../catalog/providers/wandb.toml"),
        models: include_str!("../../../catalog/models/wandb.toml"),
    },
    Files {
        id: "xai",
        provider: include_str!("../../../catalog/providers/xai.toml"),
        models: include_str!("../../../catalog/models/xai.toml"),
    },
    Files {
        id: "xiaomi",
        provider: include_str!("../../../catalog/providers/xiaomi.toml"),
        models: include_str!("../../../catalog/models/xiaomi.toml"),
    },
    Files {
        id: "xiaomi-token-plan-ams",
        provider: include_str!("../../../catalog/providers/xiaomi-token-plan-ams.toml"),
        models: "",
    },
    Files {
        id: "xiaomi-token-plan-cn",
        provider: include_str!("../../../catalog/providers/xiaomi-token-plan-cn.toml"),
        models: "",
    },
    Files {
        id: "xiaomi-token-plan-sgp",
        provider: include_str!("../../../catalog/providers/xiaomi-token-plan-sgp.toml"),
        models: "",
    },
    Files {
        id: "xinference",
        provider: include_str!("../../../catalog/providers/xinference.toml"),
        models: "",
    },
    Files {
        id: "xpersona",
        provider: include_str!("../../../catalog/providers/xpersona.toml"),
        models: "",
    },
    Files {
        id: "zai",
        provider: include_str!("../../../catalog/providers/zai.toml"),
        models: include_str!("../../../catalog/models/zai.toml"),
    },
    Files {
        id: "zai-coding-plan",
        provider: include_str!("../../../catalog/providers/zai-coding-plan.toml"),
        models: "",
    },
    Files {
        id: "zeldoc",
        provider: include_str!("../../../catalog/providers/zeldoc.toml"),
        models: "",
    },
    Files {
        id: "zenmux",
        provider: include_str!("../../../catalog/providers/zenmux.toml"),
        models: "",
    },
    Files {
        id: "zerogpu",
        provider: include_str!("../../../catalog/providers/zerogpu.toml"),
        models: include_str!("../../../catalog/models/zerogpu.toml"),
    },
    Files {
        id: "zhipu",
        provider: include_str!("../../../catalog/providers/zhipu.toml"),
        models: include_str!("../../../catalog/models/zhipu.toml"),
    },
    Files {
        id: "zhipuai-coding-plan",
        provider: include_str!("../../../catalog/providers/zhipuai-coding-plan.toml"),
        models: "",
    },
];
