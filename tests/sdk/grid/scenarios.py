"""The scenarios of the grid. `run` plays each of them to each target through one SDK and prints a line of JSON for each."""
import json
import os
import sys
import time
import traceback

from talk import PAPER, PDF, PICTURE, PNG, WAV, Ask, Assistant, Results, Tool, User

TEXT = "Hello from the strict provider."
REASONING = "The user wants a short answer."
UNICODE = "Grüße aus Zürich: 日本語のテキスト — 👩‍👩‍👧 🏳️‍🌈 naïve Ω≈ç√ ✓"
LONG = "".join(f"w{n} " for n in range(600))
REFUSAL = "I cannot help with that."
JSON = {"city": "Paris", "country": "France", "population": 2102650}
PARIS = {"city": "Paris", "unit": "celsius"}
TOKYO = {"city": "Tokyo", "unit": "celsius"}


def schema(**fields):
    return {"type": "object", "properties": fields, "required": sorted(fields), "additionalProperties": False}


PLACE = schema(city={"type": "string"}, unit={"type": "string", "enum": ["celsius", "fahrenheit"]})
WEATHER = Tool("get_weather", "Weather of a city", PLACE)
TIME = Tool("get_time", "Time in a city", PLACE)
COUNTRY = schema(city={"type": "string"}, country={"type": "string"}, population={"type": "integer"})
HI = [User("Say hello.")]
ASK = [User("Weather in Paris?")]

# Who tells its caller what: the strict provider's replies in the dialect, by the dialect's own fields.
TELLS_WRITTEN = ("anthropic-messages", "bedrock-converse")
TELLS_REASONED = ("openai-chat", "openai-responses", "gemini")
TELLS_REFUSAL = ("openai-chat", "openai-responses", "cohere-chat")
TELLS_RETRY_AFTER = ("openai-chat", "openai-responses", "anthropic-messages", "gemini", "cohere-chat")

SCENARIOS = {}
# Dialects to the beginnings of models' names there.
TARGETS = {}


def scenario(play):
    SCENARIOS[play.__name__] = play
    return play


def sayable(*callers):
    """Marks a scenario that only these callers' dialects have words for."""
    def mark(play):
        play.callers = callers
        return play

    return mark


def equal(what, found, wanted):
    assert found == wanted, f"{what}: found {found!r:.300}, wanted {wanted!r:.300}"


def is_text(reply, text, finish="stop"):
    equal("text", reply.text, text)
    equal("finish", reply.finish, finish)
    equal("calls", reply.calls, [])


def is_used(reply, tokens_in, tokens_out):
    equal("usage", (reply.usage.input, reply.usage.output), (tokens_in, tokens_out))


def is_calls(reply, *wanted):
    equal("calls", [(call.name, call.args) for call in reply.calls], list(wanted))
    equal("finish", reply.finish, "tool")
    ids = [call.id for call in reply.calls if call.id is not None]  # Gemini itself gives none
    equal("ids", len(set(ids)), len(ids))


@scenario
def text(sdk, target):
    reply = sdk(Ask("text", HI))
    is_text(reply, TEXT)
    is_used(reply, 11, 7)


@scenario
def stream(sdk, target):
    reply = sdk(Ask("text", HI, stream=True))
    is_text(reply, TEXT)
    is_used(reply, 11, 7)
    equal("pieces", sdk.pieces, 6)


@scenario
def system(sdk, target):
    turns = [User("My name is Ada."), Assistant("Hello, Ada."), User("What is my name?")]
    is_text(sdk(Ask("text", turns, system="You are terse.\nAnswer in English.")), TEXT)


@scenario
def tool(sdk, target):
    is_calls(sdk(Ask("tool", ASK, tools=(WEATHER,))), ("get_weather", PARIS))


@scenario
def settings(sdk, target):
    """The Anthropic SDK has no word for sampling any more."""
    sampling = {} if sdk.NAME == "anthropic-messages" else {"temperature": 0.5, "top_p": 0.75}
    is_calls(sdk(Ask("tool", ASK, tools=(WEATHER,), must_call=True, **sampling)), ("get_weather", PARIS))


@scenario
def parallel(sdk, target):
    is_calls(sdk(Ask("tools2", ASK, tools=(WEATHER, TIME))), ("get_weather", PARIS), ("get_time", TOKYO))


@scenario
def results(sdk, target):
    first = sdk(Ask("tools2", ASK, tools=(WEATHER, TIME)))
    is_calls(first, ("get_weather", PARIS), ("get_time", TOKYO))
    answers = Results(list(zip(first.calls, ["18 degrees", "noon"])))
    first.reasoning = ""  # a plan of the tools, which the strict provider does not tell
    is_text(sdk(Ask("tools2", [*ASK, first, answers], tools=(WEATHER, TIME))), "Tool said: 18 degrees | noon")


@scenario
def tool_stream(sdk, target):
    first = sdk(Ask("tools2", ASK, tools=(WEATHER, TIME), stream=True))
    is_calls(first, ("get_weather", PARIS), ("get_time", TOKYO))
    answers = Results(list(zip(first.calls, ["18 degrees", "noon"])))
    first.reasoning = ""
    is_text(sdk(Ask("tools2", [*ASK, first, answers], tools=(WEATHER, TIME), stream=True)), "Tool said: 18 degrees | noon")


@scenario
def image(sdk, target):
    is_text(sdk(Ask("text", [User("What is this?", PNG)])), TEXT)


@scenario
@sayable("openai-chat", "openai-responses", "anthropic-messages", "gemini", "cohere-chat")
def image_url(sdk, target):
    is_text(sdk(Ask("text", [User("What is this?", PICTURE)])), TEXT)


@scenario
@sayable("openai-chat", "openai-responses", "anthropic-messages", "gemini", "bedrock-converse")
def pdf(sdk, target):
    is_text(sdk(Ask("text", [User("What does it say?", PDF)])), TEXT)


@scenario
@sayable("openai-responses", "anthropic-messages", "gemini")
def pdf_url(sdk, target):
    is_text(sdk(Ask("text", [User("What does it say?", PAPER)])), TEXT)


@scenario
@sayable("openai-chat", "gemini", "bedrock-converse")
def audio(sdk, target):
    is_text(sdk(Ask("text", [User("What do you hear?", WAV)])), TEXT)


@scenario
@sayable("openai-chat", "anthropic-messages", "gemini", "bedrock-converse", "cohere-chat")
def stop(sdk, target):
    is_text(sdk(Ask("text", HI, stop=["END", "STOP"])), TEXT)


@scenario
def refusal(sdk, target):
    """A model that will not answer says so, in words or by the reason why it ended."""
    for streamed in (False, True):
        reply = sdk(Ask("refusal", HI, stream=streamed))
        if target in TELLS_REFUSAL:
            equal("refusal", reply.refusal or reply.text, REFUSAL)
        else:
            assert reply.finish not in ("stop", "length", "tool"), f"it looks like an answer: {reply!r:.300}"


@scenario
def reasoning(sdk, target):
    """Thoughts are shown, counted, and given back with the calls that they led to, signed or sealed as they came."""
    for streamed in (False, True):
        first = sdk(Ask("reasontool", ASK, tools=(WEATHER,), think=True, stream=streamed))
        is_calls(first, ("get_weather", PARIS))
        assert first.reasoning.startswith(REASONING), f"reasoning: {first.reasoning!r}"
        equal("output", first.usage.output, 27)
        if first.usage.reasoned is not None:
            equal("reasoning tokens", first.usage.reasoned, 20 if target in TELLS_REASONED else 0)
        first.reasoning = REASONING
        turns = [*ASK, first, Results([(first.calls[0], "18 degrees")])]
        is_text(sdk(Ask("reasontool", turns, tools=(WEATHER,), think=True, stream=streamed)), "Tool said: 18 degrees")


@scenario
def moved(sdk, target):
    """Calls and thoughts that another provider made come to this one, as when an alias falls back: calls and results are
    understood, and what only their maker can read stays away."""
    others = list(TARGETS)
    other = others[others.index(target) - 1]
    for streamed in (False, True):
        first = sdk(Ask("reasontool", ASK, tools=(WEATHER,), think=True, stream=streamed, at=other))
        is_calls(first, ("get_weather", PARIS))
        if (sdk.NAME, target) != ("cohere-chat", "cohere-chat"):  # whose thoughts have no maker's mark
            first.reasoning = ""
        turns = [*ASK, first, Results([(first.calls[0], "18 degrees")])]
        is_text(sdk(Ask("tool", turns, tools=(WEATHER,), stream=streamed)), "Tool said: 18 degrees")


@scenario
def structured(sdk, target):
    reply = sdk(Ask("json", [User("Facts about Paris.")], schema=COUNTRY))
    equal("JSON", json.loads(reply.text), JSON)


@scenario
def length(sdk, target):
    is_text(sdk(Ask("maxtokens", HI, max_tokens=16)), "Hello from the strict", "length")
    is_text(sdk(Ask("maxtokens", HI, max_tokens=16, stream=True)), "Hello from the strict", "length")


@scenario
def cached(sdk, target):
    for streamed in (False, True):
        usage = sdk(Ask("usage-cache", HI, stream=streamed)).usage
        equal("usage", (usage.input, usage.cached, usage.output), (1200, 1000, 50))
        if usage.written is not None:
            equal("written to the cache", usage.written, 100 if target in TELLS_WRITTEN else 0)


@scenario
def multibyte(sdk, target):
    is_text(sdk(Ask("unicode", HI)), UNICODE)
    is_text(sdk(Ask("unicode", HI, stream=True)), UNICODE)


def refused(sdk, status, words):
    """The SDK raises its own class for this status, whether a stream was asked for or not."""
    for streamed in (False, True):
        try:
            reply = sdk(Ask(str(status), HI, stream=streamed))
        except Exception as error:  # noqa: BLE001  any other class is what this is about
            equal("class", type(error).__name__, sdk.FAULTS[status])
            found, retry_after = sdk.fault(error)
            equal("status", found, status)
            assert words in str(error), f"no {words!r} in {str(error)!r:.300}"
            yield retry_after
        else:
            raise AssertionError(f"no error but {reply!r:.300}")


@scenario
def error_400(sdk, target):
    list(refused(sdk, 400, "scripted refusal"))


@scenario
def error_429(sdk, target):
    for retry_after in refused(sdk, 429, "scripted rate limit"):
        if target in TELLS_RETRY_AFTER:
            equal("retry after", retry_after, 7)


@scenario
def error_500(sdk, target):
    list(refused(sdk, 500, ""))


def never_whole(sdk, kind):
    try:
        reply = sdk(Ask(kind, HI, stream=True))
    except sdk.CUT as error:
        assert "Connection" not in type(error).__name__, f"the connection broke: {error}"
        assert sdk.heard and TEXT.startswith(sdk.heard) and sdk.heard != TEXT, f"heard {sdk.heard!r}"
    else:
        raise AssertionError(f"an answer that broke looks whole: {reply!r:.300}")


@scenario
def cut(sdk, target):
    """A cut answer never looks whole."""
    never_whole(sdk, "cut")


@scenario
def broken(sdk, target):
    """Nor does one whose provider says in its midst that it failed, and one with an event that cannot be read; to an SDK of
    the provider's own dialect such an event goes as it is."""
    never_whole(sdk, "streamerr")
    if sdk.NAME != target:
        never_whole(sdk, "badsse")


@scenario
def long(sdk, target):
    is_text(sdk(Ask("long", HI, stream=True)), LONG)
    equal("pieces", sdk.pieces, 600)


class Cell:
    """One scenario to one target: calls the SDK and notes what was said."""

    def __init__(self, sdk, target, name):
        self.sdk, self.target, self.name, self.said = sdk, target, name, []

    def __call__(self, ask):
        self.said.append(ask.said())
        # The strict provider plays by the end of the name; the rest tells the test whose request it was.
        model = f"{TARGETS[ask.at or self.target]}grid.{self.sdk.NAME}.{self.target}.{self.name}.sim-{ask.kind}"
        self.heard, self.pieces = "", 0
        return self.sdk.ask(model, ask, self.hear)

    def hear(self, text):
        """Takes a piece of a streamed text."""
        if text:
            self.heard += text
            self.pieces += 1

    def __getattr__(self, name):
        return getattr(self.sdk, name)

    def play(self):
        begun, why = time.monotonic(), None
        self.sdk.dropped.clear()
        try:
            SCENARIOS[self.name](self, self.target)
        except AssertionError as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001  the cell has failed, the others go on
            where = traceback.extract_tb(error.__traceback__)[-1]
            why = f"{type(error).__name__}: {str(error)[:1200]} ({os.path.basename(where.filename)}:{where.lineno})"
        return {"caller": self.sdk.NAME, "target": self.target, "scenario": self.name, "why": why, "said": self.said,
                "dropped": sorted(set(self.sdk.dropped)), "ms": round((time.monotonic() - begun) * 1000)}


def run(sdk_class):
    """The first argument names targets, as DIALECT=MODEL with the model's beginning; a second one the scenarios; both separated by commas."""
    sdk = sdk_class(os.environ["KEYWAY_URL"], os.environ["KEYWAY_TOKEN"])
    TARGETS.update(pair.split("=") for pair in sys.argv[1].split(","))
    for target in TARGETS:
        names = sys.argv[2].split(",") if sys.argv[2:] else SCENARIOS
        for name in [name for name in names if sdk.NAME in getattr(SCENARIOS[name], "callers", (sdk.NAME,))]:
            print(json.dumps(Cell(sdk, target, name).play()), flush=True)
