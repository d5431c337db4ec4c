"""The official OpenAI SDK for Python against Keyway: one scenario a run."""
import json

import openai
from scenario import ARGUMENTS, DISABLED, NARROW, TEXT, TOKEN, URL, WEATHER, equal, raises, run, scenario

HI = [{"role": "user", "content": "Say hello."}]
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Weather of a city", "parameters": WEATHER}}]
ASK = [{"role": "user", "content": "Weather in Paris?"}]


def client(token=TOKEN):
    return openai.OpenAI(base_url=f"{URL}/v1", api_key=token, max_retries=0, timeout=30)


def ask(model="openai/sim-text", token=TOKEN, messages=HI, **more):
    return client(token).chat.completions.create(model=model, messages=messages, **more)


@scenario
def text():
    raw = client().chat.completions.with_raw_response.create(model="openai/sim-text", messages=HI)
    reply = raw.parse()
    equal(reply.choices[0].message.content, TEXT)
    equal((reply.usage.prompt_tokens, reply.usage.completion_tokens), (11, 7))
    equal(len(raw.headers["x-keyway-request-id"]), 26)
    equal(raw.headers["x-keyway-target"], "openai/sim-text")
    equal(raw.headers["x-keyway-attempts"], "1")
    for name in ("x-keyway-snapshot", "x-keyway-cache"):
        assert raw.headers.get(name), f"no {name}"
    assert "keyway;dur=" in raw.headers["server-timing"], raw.headers["server-timing"]


@scenario
def stream():
    chunks = list(ask(stream=True))
    equal("".join(chunk.choices[0].delta.content or "" for chunk in chunks), TEXT)
    equal(chunks[-1].choices[0].finish_reason, "stop")
    assert all(chunk.usage is None for chunk in chunks), "usage that nobody asked for"
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    equal((chunks[-1].choices, chunks[-1].usage.completion_tokens), ([], 7))


@scenario
def tools():
    first = ask("openai/sim-tool", messages=ASK, tools=TOOLS).choices[0]
    equal(first.finish_reason, "tool_calls")
    call = first.message.tool_calls[0]
    equal((call.function.name, json.loads(call.function.arguments)), ("weather", ARGUMENTS))
    result = {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"}
    spoken = {"role": "assistant", "tool_calls": [call.model_dump()]}
    second = ask("openai/sim-tool", messages=[*ASK, spoken, result], tools=TOOLS)
    equal(second.choices[0].message.content, "Tool said: 18 degrees")


@scenario
def tool_stream():
    calls = {}
    for chunk in ask("openai/sim-tools2", messages=ASK, tools=TOOLS, stream=True):
        for piece in chunk.choices[0].delta.tool_calls or []:
            call = calls.setdefault(piece.index, {"name": "", "arguments": ""})
            call["name"] += piece.function.name or ""
            call["arguments"] += piece.function.arguments or ""
    equal([call["name"] for call in calls.values()], ["weather", "weather"])
    equal([json.loads(call["arguments"])["city"] for call in calls.values()], ["Paris", "Tokyo"])


@scenario
def embeddings():
    reply = client().embeddings.create(model="openai/sim-text", input=["one", "two"], dimensions=8)
    equal([len(row.embedding) for row in reply.data], [8, 8])
    assert reply.usage.total_tokens > 0


@scenario
def models():
    names = [model.id for model in client(NARROW).models.list()]
    equal(names, ["greeter"])
    assert len([model.id for model in client().models.list()]) > 10


@scenario
def responses():
    reply = client().responses.create(model="openai/sim-text", input="Say hello.")
    equal((reply.output_text, reply.status), (TEXT, "completed"))
    tool = {"type": "function", "name": "weather", "parameters": WEATHER, "strict": True}
    reply = client().responses.create(model="openai/sim-tool", input="Weather?", tools=[tool])
    equal(json.loads(reply.output[-1].arguments), ARGUMENTS)


@scenario
def responses_stream():
    with client().responses.stream(model="openai/sim-text", input="Say hello.") as events:
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        equal((text, events.get_final_response().status), (TEXT, "completed"))


@scenario
def alias():
    """A name of keyway.yaml with its targets behind it."""
    raw = client(NARROW).chat.completions.with_raw_response.create(model="greeter", messages=HI)
    equal((raw.parse().choices[0].message.content, raw.headers["x-keyway-target"]), (TEXT, "openai/sim-text"))


@scenario
def wrong_token():
    raises(openai.AuthenticationError, 401, "invalid_api_key", ask, token="kw_wrong")
    none = {"Authorization": openai.Omit()}
    raises(openai.AuthenticationError, 401, "invalid_api_key", client().models.list, extra_headers=none)


@scenario
def client_disabled():
    raises(openai.AuthenticationError, 401, "client_disabled", ask, token=DISABLED)


@scenario
def model_not_allowed():
    raises(openai.PermissionDeniedError, 403, "model_not_allowed", ask, token=NARROW, model="openai/sim-long")


@scenario
def unknown_model():
    error = raises(openai.NotFoundError, 404, "model_not_found", ask, model="gpt-4o-mnii")
    assert "gpt-4o-mini" in str(error), f"no nearest name: {error}"


@scenario
def malformed():
    raises(openai.BadRequestError, 400, "invalid_request", ask, model=5)
    # Not ours to judge: the provider's own refusal comes through.
    raises(openai.BadRequestError, 400, "temperature", ask, temperature="hot")


@scenario
def too_large():
    huge = [{"role": "user", "content": "x" * (33 << 20)}]
    raises(openai.APIStatusError, 413, "request_too_large", ask, messages=huge)


@scenario
def rate_limit():
    error = raises(openai.RateLimitError, 429, "", ask, model="openai/sim-429")
    equal(error.response.headers["retry-after"], "7")


@scenario
def upstream_refuses_the_key():
    error = raises(openai.InternalServerError, 502, "upstream_error", ask, model="openai/sim-401")
    assert "sim-401" in str(error.body), f"no list of attempts: {error.body}"


@scenario
def all_targets_failed():
    error = raises(openai.InternalServerError, 502, "upstream_error", ask, model="unreachable")
    for target in ("gone/a", "gone/b"):
        assert target in str(error.body), f"{target} is not in the list of attempts: {error.body}"


@scenario
def cut_stream():
    text = ""
    try:
        for chunk in ask("openai/sim-cut", stream=True):
            text += chunk.choices[0].delta.content or ""
    except openai.APIError as error:
        assert "upstream_error" in str(error.body), f"{error.body}"
        assert text and text != TEXT, f"no beginning of the answer, or all of it: {text!r}"
    else:
        raise AssertionError(f"a cut answer looks complete: {text!r}")


@scenario
def upstream_timeout():
    headers = {"x-keyway-timeout-ms": "100"}
    raises(openai.InternalServerError, 504, "upstream_timeout", ask, model="openai/sim-slow-500", extra_headers=headers)


run()
