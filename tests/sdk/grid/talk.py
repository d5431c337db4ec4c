"""A conversation in no SDK's words: what a caller says (`Ask`) and what its user sees of the answer (`Reply`). Each SDK's
script puts one into its own objects and reads the other out of them."""
import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Media:
    """A picture, a document or sound: in the request, or at an address."""
    kind: str  # image, document, audio
    mime: str
    data: bytes = b""
    url: str = ""

    @property
    def base64(self):
        return base64.b64encode(self.data).decode()

    @property
    def address(self):
        return self.url or f"data:{self.mime};base64,{self.base64}"

    def seen(self):
        return {self.kind: {"url": self.url} if self.url else {"mime": self.mime, "sha256": hashlib.sha256(self.data).hexdigest()}}


# One red pixel, one empty page, and silence.
PNG = Media("image", "image/png", base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"))
PDF = Media("document", "application/pdf", b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
            b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R>>endobj\n%%EOF\n")
WAV = Media("audio", "audio/wav", b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\0\0\0\0")
PICTURE = Media("image", "image/png", url="https://example.com/red.png")
PAPER = Media("document", "application/pdf", url="https://example.com/paper.pdf")


@dataclass
class User:
    text: str
    media: Media | None = None

    def seen(self):
        parts = [{"text": self.text}, *([self.media.seen()] if self.media else [])]
        return [("user", part) for part in parts]


@dataclass
class Assistant:
    """What an assistant said before, by heart."""
    text: str

    def seen(self):
        return [("assistant", {"text": self.text})]


@dataclass
class Call:
    id: str
    name: str
    args: dict


@dataclass
class Results:
    """Results of calls: pairs of `Call` and text."""
    pairs: list

    def seen(self):
        return [("tool", {"result": {"name": call.name, "text": text}}) for call, text in self.pairs]


@dataclass
class Tool:
    name: str
    description: str
    schema: dict

    def seen(self):
        return {"name": self.name, "description": self.description, "params": sorted(self.schema["properties"]),
                "required": sorted(self.schema["required"])}


@dataclass
class Usage:
    """Tokens: all of the input, all of the output, and the parts that have a name. None: the SDK has no field for it."""
    input: int
    output: int
    cached: int | None = 0
    written: int | None = None
    reasoned: int | None = None


@dataclass
class Reply:
    """What an SDK's user sees. `finish`: stop, length, tool, or the SDK's own word. `native`: what goes back as the
    assistant's turn, the way the SDK's documentation has it."""
    text: str
    finish: str
    usage: Usage
    native: Any
    calls: list = field(default_factory=list)
    reasoning: str = ""
    refusal: str = ""

    def seen(self):
        parts = [{"reasoning": self.reasoning}] if self.reasoning else []
        parts += [{"text": self.text}] if self.text else []
        parts += [{"call": {"name": call.name, "args": call.args}} for call in self.calls]
        return [("assistant", part) for part in parts]


@dataclass
class Ask:
    kind: str  # what the strict provider plays: the end of the model's name
    turns: list
    system: str = ""
    tools: tuple = ()
    schema: dict | None = None
    think: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    must_call: bool = False
    stop: list | None = None
    stream: bool = False
    at: str = ""  # another target than the cell's

    def said(self):
        """What the provider must have understood: `seen` of the strict provider, as far as the caller said it."""
        turns = []
        for role, part in [part for turn in self.turns for part in turn.seen()]:
            if not turns or turns[-1]["role"] != role:
                turns.append({"role": role, "parts": []})
            turns[-1]["parts"].append(part)
        said = {"system": self.system, "turns": turns, "tools": [tool.seen() for tool in self.tools]}
        given = {"schema": self.schema, "max_tokens": self.max_tokens, "reasoning": self.think or None, "temperature": self.temperature,
                 "top_p": self.top_p, "tool_choice": "required" if self.must_call else None, "stop": self.stop}
        return {**said, **{name: value for name, value in given.items() if value is not None}, "stream": self.stream, "at": self.at}


class Failed(Exception):
    """The answer says in the SDK's own fields that it failed, where the SDK does not raise."""
