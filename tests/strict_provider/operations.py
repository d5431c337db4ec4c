"""Embeddings and ranks of Cohere, Gemini and Bedrock (Titan's text models). Each has NAME, parse, reply and error, as dialects have."""
import uuid
from types import SimpleNamespace

import cohere.v2.client
from cohere.types.embed_by_type_response import EmbedByTypeResponse
from cohere.v2.types.v2rerank_response import V2RerankResponse
from google.genai import types as g

from . import shape
from .dialects import bedrock_converse, cohere_chat, gemini
from .seen import Seen
from .vectors import ranks, vector, words

COHERE_EMBED_BODY = shape.from_signature("V2EmbedRequest", cohere.v2.client.V2Client.embed, {})
COHERE_RERANK_BODY = shape.from_signature("V2RerankRequest", cohere.v2.client.V2Client.rerank, {})
GEMINI_ONE = shape.record("EmbedContentRequest", model=(str, False), content=(g.Content, True), taskType=(str, False),
                          title=(str, False), outputDimensionality=(int, False))
GEMINI_BATCH = shape.record("BatchEmbedContentsRequest", requests=(list[GEMINI_ONE], True))
TITAN = shape.record("TitanEmbedTextRequest", inputText=(str, True), dimensions=(int, False), normalize=(bool, False),
                     embeddingTypes=(list[str], False))


def seen(**settings):
    found = Seen()
    found.set(**settings)
    return found


def cohere_embed(body):
    problems = shape.check(body, COHERE_EMBED_BODY)
    if not problems and body.get("inputs"):
        texts = [" ".join(part.get("text", "") for part in one["content"]) for one in body["inputs"]]
        return problems, seen(inputs=texts, dimensions=body.get("output_dimension"))
    if not problems and not body.get("texts"):
        problems.append(shape.Problem("texts", shape.VALUE, "invalid request: one of texts, images or inputs is required"))
    return problems, Seen() if problems else seen(inputs=body["texts"], dimensions=body.get("output_dimension"))


def cohere_embedded(body, _model):
    _, found = cohere_embed(body)
    texts, size = found.settings["inputs"], found.settings.get("dimensions") or 8
    return {"response_type": "embeddings_by_type", "id": str(uuid.uuid4()), "texts": texts,
            "embeddings": {"float": [vector(text, size) for text in texts]},
            "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": words(texts)}}}


def cohere_rerank(body):
    problems = shape.check(body, COHERE_RERANK_BODY)
    return problems, Seen() if problems else seen(query=body["query"], documents=body["documents"], top_n=body.get("top_n"))


def cohere_ranked(body, _model):
    ranked = ranks(body["query"], body["documents"])[:body.get("top_n")]
    return {"id": str(uuid.uuid4()), "results": [{"index": index, "relevance_score": score} for index, score in ranked],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}}


def gemini_asks(body):
    return body.get("requests", [body])


def gemini_embed(body):
    batch = isinstance(body, dict) and "requests" in body
    problems = shape.check(body, GEMINI_BATCH if batch else GEMINI_ONE)
    if problems:
        return problems, Seen()
    for i, one in enumerate(gemini_asks(body) if batch else []):
        if not one.get("model", "").startswith("models/"):
            problems.append(shape.Problem(f"requests[{i}].model", shape.VALUE, "must be models/{model}, the model of the path"))
    texts = ["".join(part.get("text", "") for part in one["content"]["parts"]) for one in gemini_asks(body)]
    return problems, seen(inputs=texts, dimensions=gemini_asks(body)[0].get("outputDimensionality"))


def gemini_embedded(body, _model):
    _, found = gemini_embed(body)
    size = found.settings.get("dimensions") or 8
    vectors = [{"values": vector(text, size)} for text in found.settings["inputs"]]
    return {"embeddings": vectors} if "requests" in body else {"embedding": vectors[0]}


def titan(body):
    problems = shape.check(body, TITAN)
    if not problems and body.get("dimensions") not in (None, 256, 512, 1024):
        problems.append(shape.Problem("dimensions", shape.VALUE, "must be 256, 512 or 1024"))
    return problems, Seen() if problems else seen(inputs=[body["inputText"]], dimensions=body.get("dimensions"))


def titan_embedded(body, _model):
    text, size = body["inputText"], body.get("dimensions") or 1024
    return {"embedding": vector(text, size), "inputTextTokenCount": words([text])}


COHERE_EMBED = SimpleNamespace(NAME=cohere_chat.NAME, parse=cohere_embed, reply=cohere_embedded, error=cohere_chat.error)
COHERE_RERANK = SimpleNamespace(NAME=cohere_chat.NAME, parse=cohere_rerank, reply=cohere_ranked, error=cohere_chat.error)
GEMINI_EMBED = SimpleNamespace(NAME=gemini.NAME, parse=gemini_embed, reply=gemini_embedded, error=gemini.error)
BEDROCK_EMBED = SimpleNamespace(NAME=bedrock_converse.NAME, parse=titan, reply=titan_embedded, error=bedrock_converse.error)


def faults():
    embedded = cohere_embedded({"model": "m", "input_type": "search_query", "texts": ["a"]}, "m")
    ranked = cohere_ranked({"model": "m", "query": "a", "documents": ["a", "b"]}, "m")
    batch = gemini_embedded({"requests": [{"model": "models/m", "content": {"parts": [{"text": "a"}]}}]}, "m")
    return [*shape.check(embedded, EmbedByTypeResponse), *shape.check(ranked, V2RerankResponse), *shape.check(batch, g.EmbedContentResponse)]
