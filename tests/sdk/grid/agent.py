"""An agent in the manner of Claude Code, through the Anthropic SDK: a long system prompt with cache marks that move along,
thinking, words before parallel calls, results that are errors and pictures. Each of five turns is a cell: the call with the
whole history, streamed, and what the model says of the results, with the whole history."""
import json
import os
import sys
import time

import anthropic
from scenarios import PARIS, REASONING, TIME, TOKYO, WEATHER, equal
from talk import PNG

SYSTEM = "You are an agent that works in a terminal.\n" + "\n".join(f"Rule {n}: be careful with file {n}." for n in range(400))
PLAN = "Let me look that up."
MARK = {"type": "ephemeral"}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG.base64}}
PICTURE_SEEN = PNG.seen()
# Dialects whose results have no word for a failure, and those whose results hold text alone.
FAILURE_IN_WORDS = ("openai-chat", "openai-responses", "cohere-chat")
PICTURES_APART = ("openai-chat", "cohere-chat")
# Thoughts without a text hold the seal of a call; Cohere's plan of its tools counts as thoughts.
UNTOLD = ("", "I will look that up.")


class Agent:
    def __init__(self, target, model):
        self.target, self.model, self.dropped = target, model, []
        http = anthropic.DefaultHttpxClient(event_hooks={"response": [self.answered]})
        self.client = anthropic.Anthropic(base_url=os.environ["KEYWAY_URL"], api_key=os.environ["KEYWAY_TOKEN"], max_retries=0,
                                          timeout=60, http_client=http)
        self.messages, self.turns = [], []  # as the SDK has them, and as the provider has to understand them

    def answered(self, response):
        self.dropped += response.headers.get("x-keyway-dropped", "").split(", ")

    def says(self, role, *blocks):
        self.messages.append({"role": role, "content": list(blocks)})

    def seen(self, role, *parts):
        if self.turns[-1:] and self.turns[-1]["role"] == role:
            self.turns[-1]["parts"] += parts
        else:
            self.turns.append({"role": role, "parts": list(parts)})

    def ask(self, name, stream):
        """Sends everything so far, with a cache mark on the last block and none on older ones."""
        for message in self.messages:
            for block in message["content"]:
                if isinstance(block, dict):
                    block.pop("cache_control", None)
        self.messages[-1]["content"][-1]["cache_control"] = MARK
        tools = [{"name": t.name, "description": t.description, "input_schema": t.schema} for t in (WEATHER, TIME)]
        tools[-1]["cache_control"] = MARK
        call = {"model": f"{self.model}grid.agent.{self.target}.{name}.sim-agent", "max_tokens": 8192, "tools": tools,
                "system": [{"type": "text", "text": SYSTEM, "cache_control": MARK}],
                "thinking": {"type": "enabled", "budget_tokens": 4096}, "messages": self.messages}
        self.said.append({"system": SYSTEM, "turns": json.loads(json.dumps(self.turns)), "tools": [WEATHER.seen(), TIME.seen()],
                          "max_tokens": 8192, "reasoning": True, "stream": stream})
        if not stream:
            return self.client.messages.create(**call)
        with self.client.messages.stream(**call) as events:
            return events.get_final_message()

    def heard(self, message, text, stop):
        """The answer has its thoughts first, then its words; both go back in the next request."""
        found = [(block.type, getattr(block, block.type)) for block in message.content if block.type in ("thinking", "text")]
        found = [(kind, said) for kind, said in found if kind == "text" or said not in UNTOLD]
        equal("content", found, [("thinking", REASONING), ("text", text)])
        equal("stop reason", message.stop_reason, stop)
        equal("output tokens", message.usage.output_tokens, 27)
        self.says("assistant", *message.content)
        self.seen("assistant", {"reasoning": REASONING}, {"text": text})

    def results(self, uses, number):
        """The first result is an error in the second turn and shows a picture in the third."""
        blocks, pictures = [], []
        for use, text in zip(uses, (f"18 degrees ({number})", f"noon ({number})")):
            first = use is uses[0]
            failed, shows = first and number == 2, first and number == 3
            content = [{"type": "text", "text": text}, *([PICTURE] if shows else [])]
            blocks.append({"type": "tool_result", "tool_use_id": use.id, "content": content, **({"is_error": True} if failed else {})})
            in_words = failed and self.target in FAILURE_IN_WORDS
            told = {"name": use.name, "text": f"Error: {text}" if in_words else text, **({"error": True} if failed and not in_words else {})}
            apart = shows and self.target in PICTURES_APART
            self.seen("tool", {"result": told}, *([PICTURE_SEEN] if shows and not apart else []))
            pictures += [PICTURE_SEEN] if apart else []
            yield told["text"]
        if pictures:
            self.seen("user", *pictures)
        self.says("user", *blocks)

    def turn(self, number):
        question, picture = f"Question {number}", number == 4
        self.says("user", {"type": "text", "text": question}, *([dict(PICTURE)] if picture else []))
        self.seen("user", {"text": question}, *([PICTURE_SEEN] if picture else []))
        first = self.ask(f"turn_{number}", stream=True)
        uses = [block for block in first.content if block.type == "tool_use"]
        equal("calls", [(use.name, use.input) for use in uses], [("get_weather", PARIS), ("get_time", TOKYO)])
        self.heard(first, PLAN, "tool_use")
        self.seen("assistant", *({"call": {"name": use.name, "args": use.input}} for use in uses))
        answers = list(self.results(uses, number))
        second = self.ask(f"turn_{number}", stream=False)
        self.heard(second, "Tool said: " + " | ".join(answers), "end_turn")

    def play(self, number):
        begun, why, self.said = time.monotonic(), None, []
        self.dropped.clear()
        try:
            self.turn(number)
        except Exception as error:  # noqa: BLE001  the turn has failed, and those after it will
            why = f"{type(error).__name__}: {str(error)[:1200]}"
        return {"caller": "agent", "target": self.target, "scenario": f"turn_{number}", "why": why, "said": self.said,
                "dropped": sorted(set(self.dropped)), "ms": round((time.monotonic() - begun) * 1000)}


for pair in sys.argv[1].split(","):
    agent = Agent(*pair.split("="))
    for number in range(1, 6):
        print(json.dumps(agent.play(number)), flush=True)
