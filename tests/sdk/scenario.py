"""Picks the scenario that the command line names, and checks what an exception has to look like."""
import os
import sys

URL = os.environ["KEYWAY_URL"]
TOKEN = os.environ["KEYWAY_TOKEN"]
NARROW = os.environ.get("NARROW_TOKEN", "")  # a client that may use sim-text alone
DISABLED = os.environ.get("DISABLED_TOKEN", "")

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
ARGUMENTS = {"city": "Paris", "unit": "celsius"}
TEXT = "Hello from the strict provider."

SCENARIOS = {}


def scenario(function):
    SCENARIOS[function.__name__] = function
    return function


def equal(found, wanted):
    assert found == wanted, f"found {found!r}, wanted {wanted!r}"


def raises(kind, status, code, call, **more):
    """The call raises exactly this class, with this status, and `code` somewhere in its body."""
    try:
        result = call(**more)
    except Exception as error:  # noqa: BLE001  any other class is what the test is about
        assert type(error) is kind, f"{type(error).__name__} instead of {kind.__name__}: {error}"
        equal(error.status_code, status)
        assert code in str(error.body), f"no {code} in {error.body}"
        return error
    raise AssertionError(f"no {kind.__name__} but {repr(result)[:400]}")


def run():
    SCENARIOS[sys.argv[1]]()
    print("ok")
