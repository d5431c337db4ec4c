"""The official Cohere SDK for Python, version 2 of the API."""
import json

import cohere
import httpx
from scenarios import run
from talk import Assistant, Call, Failed, Reply, Results, Usage, User

FINISH = {"COMPLETE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "tool"}


class Cohere:
    NAME = "cohere-chat"
    FAULTS = {400: "BadRequestError", 429: "TooManyRequestsError", 500: "InternalServerError"}
    CUT = Failed

    def __init__(self, url, token):
        self.dropped = []
        http = httpx.Client(event_hooks={"response": [self.answered]}, timeout=30)
        self.client = cohere.ClientV2(api_key=token, base_url=url, max_retries=0, httpx_client=http)

    def answered(self, response):
        self.dropped += response.headers.get("x-keyway-dropped", "").split(", ") if "x-keyway-dropped" in response.headers else []

    def fault(self, error):
        return error.status_code, float(error.headers.get("retry-after", "nan"))

    def ask(self, model, ask, hear):
        call = {"model": model, "messages": [m for turn in ask.turns for m in message(turn)]}
        if ask.system:
            call["messages"].insert(0, {"role": "system", "content": ask.system})
        if ask.tools:
            call["tools"] = [{"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.schema}}
                             for t in ask.tools]
        if ask.schema:
            call["response_format"] = {"type": "json_object", "json_schema": ask.schema}
        if ask.think:
            call["thinking"] = {"type": "enabled", "token_budget": 2048}
        if ask.max_tokens:
            call["max_tokens"] = ask.max_tokens
        given = {"temperature": ask.temperature, "p": ask.top_p, "tool_choice": "REQUIRED" if ask.must_call else None,
                 "stop_sequences": ask.stop}
        call |= {name: value for name, value in given.items() if value is not None}
        if ask.stream:
            return streamed(self.client.chat_stream(**call), hear)
        reply = self.client.chat(**call)
        return answer(reply.message.model_dump(exclude_none=True), reply.finish_reason, reply.usage)


def message(turn):
    match turn:
        case User(text, None):
            yield {"role": "user", "content": text}
        case User(text, media):
            yield {"role": "user", "content": [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": media.address}}]}
        case Assistant(text):
            yield {"role": "assistant", "content": text}
        case Results(pairs):
            for call, text in pairs:
                yield {"role": "tool", "tool_call_id": call.id, "content": text}
        case Reply():
            yield turn.native


def streamed(events, hear):
    """The message that its events add up to. A failed answer has an end that says so: the SDK raises nothing."""
    content, calls, plan, end = {}, {}, "", None
    for event in events:
        if event.type == "content-start":
            content[event.index] = {"type": event.delta.message.content.type}
        if event.type in ("content-start", "content-delta"):
            for name in ("text", "thinking"):
                piece = getattr(event.delta.message.content, name, None)
                if piece is not None:
                    content[event.index][name] = content[event.index].get(name, "") + piece
            hear(getattr(event.delta.message.content, "text", None))
        elif event.type == "tool-plan-delta":
            plan += event.delta.message.tool_plan
        elif event.type == "tool-call-start":
            calls[event.index] = event.delta.message.tool_calls.model_dump(exclude_none=True)
        elif event.type == "tool-call-delta":
            calls[event.index]["function"]["arguments"] += event.delta.message.tool_calls.function.arguments
        elif event.type == "message-end":
            end = event.delta
    if end is None or end.finish_reason == "ERROR":
        raise Failed(end and end.error)
    whole = {"role": "assistant", "content": [content[index] for index in sorted(content)] or None, "tool_plan": plan or None,
             "tool_calls": [calls[index] for index in sorted(calls)] or None}
    return answer({name: value for name, value in whole.items() if value is not None}, end.finish_reason, end.usage)


def answer(said, finish, usage):
    calls = [Call(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in said.get("tool_calls", [])]
    text, thoughts = ("".join(p[kind] for p in said.get("content", []) if p["type"] == kind) for kind in ("text", "thinking"))
    used = Usage(int(usage.tokens.input_tokens), int(usage.tokens.output_tokens), int(usage.cached_tokens or 0))
    return Reply(text, FINISH.get(finish, finish), used, said, calls, thoughts)


if __name__ == "__main__":
    run(Cohere)
