"""What a user of each SDK sees after a mistake: a wrong key, a model that there is not, a body that is too large. Each is the
SDK's own class for it, with the status and Keyway's code. Prints cells as the other scripts do."""
import json
import os
import time

from anthropic_messages import Messages
from bedrock_converse import Converse
from cohere_chat import Cohere
from gemini import Gemini
from openai_chat import Chat
from openai_responses import Responses
from scenarios import HI, equal
from talk import Ask, User

URL, TOKEN = os.environ["KEYWAY_URL"], os.environ["KEYWAY_TOKEN"]
SECRET = os.environ["KEYWAY_SECRET_ACCESS_KEY"]
HUGE = [User("x" * (33 << 20))]
# The class and the status of each mistake.
OPENAI = {"key": ("AuthenticationError", 401), "model": ("NotFoundError", 404), "size": ("APIStatusError", 413)}
WANTED = {
    Chat: OPENAI,
    Responses: OPENAI,
    Messages: {**OPENAI, "size": ("ContentTooLargeError", 413)},
    Gemini: {"key": ("ClientError", 401), "model": ("ClientError", 404), "size": ("ClientError", 413)},
    # Its model of the service has no class for a credential that is not known, so that AWS's own is this one, too.
    Converse: {"key": ("ClientError", 401), "model": ("ResourceNotFoundException", 404), "size": ("ValidationException", 413)},
    Cohere: {"key": ("UnauthorizedError", 401), "model": ("NotFoundError", 404), "size": ("ApiError", 413)},
}
CODES = {"key": "invalid_api_key", "model": "model_not_found", "size": "request_too_large"}


def mistaken(sdk, mistake):
    os.environ["KEYWAY_SECRET_ACCESS_KEY"] = "another-secret-access-key-0123456789" if mistake == "key" else SECRET
    made = sdk(URL, "kw_wrong" if mistake == "key" else TOKEN)
    model = "nobody-has-this" if mistake == "model" else "openai/gpt-4o.sim-text"
    try:
        reply = made.ask(model, Ask("text", HUGE if mistake == "size" else HI), print)
    except Exception as error:  # noqa: BLE001  any other class is what this is about
        name, status = WANTED[sdk][mistake]
        equal("class", type(error).__name__, name)
        equal("status", made.fault(error)[0], status)
        if sdk is Converse:  # which shows its user AWS's codes alone
            codes = {"key": "UnrecognizedClientException", "model": "ResourceNotFoundException", "size": "ValidationException"}
            return equal("code", error.response["Error"]["Code"], codes[mistake])
        told = str(getattr(error, "body", "")) + str(getattr(error, "details", "")) + str(getattr(error, "response", "")) + str(error)
        assert CODES[mistake] in told, f"no {CODES[mistake]} in {told!r:.400}"
    else:
        raise AssertionError(f"no error but {reply!r:.300}")


for sdk in WANTED:
    for mistake in CODES:
        begun, why = time.monotonic(), None
        try:
            mistaken(sdk, mistake)
        except Exception as error:  # noqa: BLE001  the cell has failed, the others go on
            why = f"{type(error).__name__}: {str(error)[:1200]}"
        print(json.dumps({"caller": sdk.NAME, "target": sdk.NAME, "scenario": mistake, "why": why, "said": [], "dropped": [],
                          "ms": round((time.monotonic() - begun) * 1000)}), flush=True)
