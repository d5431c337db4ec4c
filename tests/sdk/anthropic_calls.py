"""The official Anthropic SDK for Python against Keyway: one scenario a run."""
import anthropic
from scenario import ARGUMENTS, DISABLED, NARROW, TEXT, TOKEN, URL, WEATHER, equal, raises, run, scenario

HI = [{"role": "user", "content": "Say hello."}]
ASK = [{"role": "user", "content": "Weather in Paris?"}]
TOOLS = [{"name": "weather", "description": "Weather of a city", "input_schema": WEATHER}]


def client(token=TOKEN):
    return anthropic.Anthropic(base_url=URL, api_key=token, max_retries=0, timeout=30)


def ask(model="anthropic/sim-text", token=TOKEN, messages=HI, **more):
    return client(token).messages.create(model=model, max_tokens=200, messages=messages, **more)


@scenario
def text():
    raw = client().messages.with_raw_response.create(model="anthropic/sim-text", max_tokens=200, messages=HI)
    reply = raw.parse()
    equal((reply.content[0].text, reply.stop_reason), (TEXT, "end_turn"))
    equal((reply.usage.input_tokens, reply.usage.output_tokens), (11, 7))
    equal(len(raw.headers["x-keyway-request-id"]), 26)
    equal(raw.headers["x-keyway-target"], "anthropic/sim-text")
    assert raw.headers.get("x-request-id"), "the provider's own request id is gone"
    bearer = anthropic.Anthropic(base_url=URL, auth_token=TOKEN, max_retries=0)
    equal(bearer.messages.create(model="anthropic/sim-text", max_tokens=9, messages=HI).content[0].text, TEXT)


@scenario
def stream():
    with client().messages.stream(model="anthropic/sim-text", max_tokens=200, messages=HI) as events:
        equal("".join(events.text_stream), TEXT)
        final = events.get_final_message()
    equal((final.stop_reason, final.usage.output_tokens), ("end_turn", 7))


@scenario
def tools():
    first = ask("anthropic/sim-tool", messages=ASK, tools=TOOLS)
    equal(first.stop_reason, "tool_use")
    use = next(block for block in first.content if block.type == "tool_use")
    equal((use.name, use.input), ("weather", ARGUMENTS))
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "18 degrees"}
    spoken = {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]}
    second = ask("anthropic/sim-tool", messages=[*ASK, spoken, {"role": "user", "content": [result]}], tools=TOOLS)
    equal(second.content[0].text, "Tool said: 18 degrees")


@scenario
def tool_stream():
    call = {"model": "anthropic/sim-tools2", "max_tokens": 200, "messages": ASK, "tools": TOOLS}
    with client().messages.stream(**call) as events:
        partial = "".join(event.partial_json for event in events if event.type == "input_json")
        uses = [block for block in events.get_final_message().content if block.type == "tool_use"]
    equal([use.input["city"] for use in uses], ["Paris", "Tokyo"])
    assert "Paris" in partial and "Tokyo" in partial, partial


@scenario
def count_tokens():
    assert client().messages.count_tokens(model="anthropic/sim-text", messages=HI).input_tokens > 0


@scenario
def models():
    page = client(NARROW).models.list()
    equal([(model.id, model.type) for model in page], [("greeter", "model")])


@scenario
def alias():
    """A name of keyway.yaml with its targets behind it."""
    equal(ask("greeter", token=NARROW).content[0].text, TEXT)


@scenario
def wrong_token():
    raises(anthropic.AuthenticationError, 401, "invalid_api_key", ask, token="kw_wrong")
    none = {"Authorization": anthropic.Omit()}
    raises(anthropic.AuthenticationError, 401, "invalid_api_key", client().models.list, extra_headers=none)


@scenario
def client_disabled():
    raises(anthropic.AuthenticationError, 401, "client_disabled", ask, token=DISABLED)


@scenario
def model_not_allowed():
    wrong = {"token": NARROW, "model": "anthropic/sim-long"}
    raises(anthropic.PermissionDeniedError, 403, "model_not_allowed", ask, **wrong)


@scenario
def unknown_model():
    error = raises(anthropic.NotFoundError, 404, "model_not_found", ask, model="claude-haiku-4-6")
    assert "claude-haiku-4-5" in str(error), f"no nearest name: {error}"


@scenario
def malformed():
    raises(anthropic.BadRequestError, 400, "invalid_request", ask, model=5)
    # Not ours to judge: the provider's own refusal comes through.
    raises(anthropic.BadRequestError, 400, "max_tokens", ask, extra_body={"max_tokens": 0})


@scenario
def too_large():
    huge = [{"role": "user", "content": "x" * (33 << 20)}]
    raises(anthropic.ContentTooLargeError, 413, "request_too_large", ask, messages=huge)


@scenario
def rate_limit():
    error = raises(anthropic.RateLimitError, 429, "rate_limit_error", ask, model="anthropic/sim-429")
    equal((error.response.headers["retry-after"], error.request_id), ("7", "req_strict"))


@scenario
def upstream_refuses_the_key():
    error = raises(anthropic.InternalServerError, 502, "upstream_error", ask, model="anthropic/sim-401")
    assert "sim-401" in str(error.body), f"no list of attempts: {error.body}"


@scenario
def all_targets_failed():
    error = raises(anthropic.InternalServerError, 502, "upstream_error", ask, model="unreachable")
    for target in ("gone/a", "gone/b"):
        assert target in str(error.body), f"{target} is not in the list of attempts: {error.body}"


@scenario
def cut_stream():
    text = ""
    try:
        with client().messages.stream(model="anthropic/sim-cut", max_tokens=200, messages=HI) as events:
            for piece in events.text_stream:
                text += piece
    except anthropic.APIStatusError as error:
        assert "upstream_error" in str(error.body), f"{error.body}"
        assert text and text != TEXT, f"no beginning of the answer, or all of it: {text!r}"
    else:
        raise AssertionError(f"a cut answer looks complete: {text!r}")


@scenario
def upstream_timeout():
    headers = {"x-keyway-timeout-ms": "100"}
    slow = {"model": "anthropic/sim-slow-500", "extra_headers": headers}
    raises(anthropic.GatewayTimeoutError, 504, "upstream_timeout", ask, **slow)


run()
