"""What SDKs ask for besides conversations: embeddings, ranks, counts of tokens, lists of models. Prints cells as the other scripts do."""
import json
import os
import sys
import time

import anthropic
import boto3
import cohere
import openai
from botocore.config import Config
from google import genai
from google.genai import types as g
from scenarios import equal

sys.path.append(os.path.join(os.path.dirname(__file__), "../.."))
from strict_provider.vectors import ranks, vector  # noqa: E402  what the provider answers with

URL, TOKEN, NARROW = os.environ["KEYWAY_URL"], os.environ["KEYWAY_TOKEN"], os.environ["NARROW_TOKEN"]
TEXTS = ["The sky is blue.", "Grüße aus Zürich"]
SIZE = 256
QUERY = "capital of France"
DOCUMENTS = ["Rome is old.", "Paris is the capital of France", "The capital of Spain is Madrid"]
SYSTEM, WORDS = "You are terse.", "Count these four words"
TOKENS = 3 + len(SYSTEM.split()) + len(WORDS.split())  # as the strict provider counts


def clients(token):
    aws = {"aws_access_key_id": os.environ["KEYWAY_ACCESS_KEY_ID"], "aws_secret_access_key": os.environ["KEYWAY_SECRET_ACCESS_KEY"]}
    once = Config(retries={"total_max_attempts": 1})
    return {
        "openai-chat": openai.OpenAI(base_url=f"{URL}/v1", api_key=token, max_retries=0),
        "anthropic-messages": anthropic.Anthropic(base_url=URL, api_key=token, max_retries=0),
        "gemini": genai.Client(api_key=token, http_options=g.HttpOptions(base_url=URL)),
        "bedrock-converse": boto3.client("bedrock-runtime", endpoint_url=URL, region_name="us-east-1", config=once, **aws),
        "cohere-chat": cohere.ClientV2(api_key=token, base_url=URL, max_retries=0),
    }


SDKS = clients(TOKEN)
OPENAI, ANTHROPIC, GENAI, BOTO3, COHERE = SDKS.values()


def embed_openai(model, texts):
    return [one.embedding for one in OPENAI.embeddings.create(model=model, input=texts, dimensions=SIZE).data]


def embed_genai(model, texts):
    """The SDK takes a list of strings for one text where the model's name holds `gemini`."""
    config = g.EmbedContentConfig(output_dimensionality=SIZE)
    contents = [g.Content(role="user", parts=[g.Part.from_text(text=text)]) for text in texts]
    return [one.values for one in GENAI.models.embed_content(model=model, contents=contents, config=config).embeddings]


def embed_cohere(model, texts):
    call = {"input_type": "search_document", "embedding_types": ["float"], "output_dimension": SIZE}
    return COHERE.embed(model=model, texts=texts, **call).embeddings.float_


def count_responses(model):
    return OPENAI.responses.input_tokens.count(model=model, instructions=SYSTEM, input=WORDS).input_tokens


def count_anthropic(model):
    messages = [{"role": "user", "content": WORDS}]
    return ANTHROPIC.messages.count_tokens(model=model, system=SYSTEM, messages=messages).input_tokens


def count_genai(model):
    """The Gemini API's own SDK refuses system text here."""
    return GENAI.models.count_tokens(model=model, contents=f"{SYSTEM} {WORDS}").total_tokens


def count_boto3(model):
    talk = {"system": [{"text": SYSTEM}], "messages": [{"role": "user", "content": [{"text": WORDS}]}]}
    return BOTO3.count_tokens(modelId=model, input={"converse": talk})["inputTokens"]


def nothing(**more):
    return {"system": "", "turns": [], "tools": [], "stream": False, **more}


def embedding(embed, target):
    """Titan embeds one text a request. OpenAI's embeddings are a dialect of their own for the strict provider."""
    at = {"openai-chat": "openai-embeddings"}.get(target, "")

    def play(model):
        asked = [[text] for text in TEXTS] if target == "bedrock-converse" else [TEXTS]
        for texts in asked:
            for found, text in zip(embed(model, texts), texts, strict=True):
                wanted = vector(text, SIZE)
                assert len(found) == SIZE and all(abs(a - b) < 1e-6 for a, b in zip(found, wanted)), f"{found[:3]} {wanted[:3]}"
        return [nothing(inputs=texts, dimensions=SIZE, at=at) for texts in asked]

    return play


def counting(count, together=False):
    def play(model):
        equal("tokens", count(model), TOKENS)
        system, words = ("", f"{SYSTEM} {WORDS}") if together else (SYSTEM, WORDS)
        return [nothing(system=system, turns=[{"role": "user", "parts": [{"text": words}]}])]

    return play


def ranking(model):
    reply = COHERE.rerank(model=model, query=QUERY, documents=DOCUMENTS, top_n=2)
    equal("ranks", [(one.index, one.relevance_score) for one in reply.results], ranks(QUERY, DOCUMENTS)[:2])
    return [nothing(query=QUERY, documents=DOCUMENTS, top_n=2)]


def listing(caller):
    names = {
        "openai-chat": lambda sdk: [model.id for model in sdk.models.list()],
        "anthropic-messages": lambda sdk: [model.id for model in sdk.models.list()],
        "gemini": lambda sdk: [model.name.removeprefix("models/") for model in sdk.models.list()],
        "cohere-chat": lambda sdk: [model.name for model in sdk.models.list().models],
    }

    def play(_model):
        equal("models", names[caller](clients(NARROW)[caller]), ["greeter"])
        return []

    return play


def cells():
    for target in ("openai-chat", "gemini", "cohere-chat", "bedrock-converse"):
        for caller, embed in (("openai-chat", embed_openai), ("gemini", embed_genai), ("cohere-chat", embed_cohere)):
            yield caller, target, "embeddings", embedding(embed, target)
    counts = {"openai-responses": counting(count_responses), "anthropic-messages": counting(count_anthropic),
              "gemini": counting(count_genai, together=True), "bedrock-converse": counting(count_boto3)}
    for target in counts:
        for caller, play in counts.items():
            yield caller, target, "count", play
    yield "cohere-chat", "cohere-chat", "rerank", ranking
    for caller in ("openai-chat", "anthropic-messages", "gemini", "cohere-chat"):
        yield caller, caller, "models", listing(caller)


MODELS = dict(pair.split("=") for pair in sys.argv[1].split(","))
for caller, target, scenario, play in cells():
    begun, why, said = time.monotonic(), None, []
    titan = "titan-embed-text-v2." if (target, scenario) == ("bedrock-converse", "embeddings") else ""
    beginning = "bedrock/amazon." if titan else MODELS[target]
    try:
        said = play(f"{beginning}{titan}grid.{caller}.{target}.{scenario}.sim-text")
    except Exception as error:  # noqa: BLE001  the cell has failed, the others go on
        why = f"{type(error).__name__}: {str(error)[:1200]}"
    print(json.dumps({"caller": caller, "target": target, "scenario": scenario, "why": why, "said": said, "dropped": [],
                      "ms": round((time.monotonic() - begun) * 1000)}), flush=True)
