"""The official OpenAI SDK for Python, chat completions."""
import json

import openai
from scenarios import run
from talk import Assistant, Call, Reply, Results, Usage, User

FINISH = {"stop": "stop", "length": "length", "tool_calls": "tool"}


class Chat:
    NAME = "openai-chat"
    FAULTS = {400: "BadRequestError", 429: "RateLimitError", 500: "InternalServerError"}
    CUT = openai.APIError

    def __init__(self, url, token):
        self.dropped = []
        http = openai.DefaultHttpxClient(event_hooks={"response": [self.answered]})
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0, timeout=30, http_client=http)

    def answered(self, response):
        self.dropped += response.headers.get("x-keyway-dropped", "").split(", ") if "x-keyway-dropped" in response.headers else []

    def fault(self, error):
        return error.status_code, float(error.response.headers.get("retry-after", "nan"))

    def ask(self, model, ask, hear):
        call = {"model": model, "messages": [m for turn in ask.turns for m in message(turn)]}
        if ask.system:
            call["messages"].insert(0, {"role": "system", "content": ask.system})
        if ask.tools:
            call["tools"] = [{"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.schema}}
                             for t in ask.tools]
        if ask.schema:
            call["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": ask.schema, "strict": True}}
        if ask.think:
            call["reasoning_effort"] = "low"
        if ask.max_tokens:
            call["max_completion_tokens"] = ask.max_tokens
        call |= settings(ask)
        if ask.stream:
            return streamed(self.client.chat.completions.create(**call, stream=True, stream_options={"include_usage": True}), hear)
        reply = self.client.chat.completions.create(**call)
        message_ = reply.choices[0].message.model_dump(exclude_none=True)
        return answer(message_, reply.choices[0].finish_reason, reply.usage)


def settings(ask):
    given = {"temperature": ask.temperature, "top_p": ask.top_p, "tool_choice": "required" if ask.must_call else None, "stop": ask.stop}
    return {name: value for name, value in given.items() if value is not None}


def message(turn):
    match turn:
        case User(text, None):
            yield {"role": "user", "content": text}
        case User(text, media):
            yield {"role": "user", "content": [{"type": "text", "text": text}, part(media)]}
        case Assistant(text):
            yield {"role": "assistant", "content": text}
        case Results(pairs):
            for call, text in pairs:
                yield {"role": "tool", "tool_call_id": call.id, "content": text}
        case Reply():
            yield turn.native


def part(media):
    match media.kind:
        case "image":
            return {"type": "image_url", "image_url": {"url": media.address}}
        case "document":
            return {"type": "file", "file": {"filename": "paper.pdf", "file_data": media.address}}
        case "audio":
            return {"type": "input_audio", "input_audio": {"data": media.base64, "format": "wav"}}


def streamed(chunks, hear):
    """The message that its deltas add up to, extensions included, as agents collect it."""
    whole, calls, finish, usage = {"role": "assistant"}, {}, None, None
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            delta = choice.delta.model_dump(exclude_none=True)
            hear(delta.get("content"))
            for name in ("content", "refusal", "reasoning_content"):
                if delta.get(name):
                    whole[name] = whole.get(name, "") + delta[name]
            if delta.get("reasoning_details"):
                whole.setdefault("reasoning_details", []).extend(delta["reasoning_details"])
            for piece in delta.get("tool_calls", []):
                call = calls.setdefault(piece["index"], {"type": "function", "function": {"name": "", "arguments": ""}})
                call["id"] = piece.get("id") or call["id"]
                for name, text in piece["function"].items():
                    call["function"][name] += text
    if calls:
        whole["tool_calls"] = [calls[index] for index in sorted(calls)]
    return answer(whole, finish, usage)


def answer(message_, finish, usage):
    calls = [Call(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in message_.get("tool_calls", [])]
    told_in, told_out = usage.prompt_tokens_details, usage.completion_tokens_details
    used = Usage(usage.prompt_tokens, usage.completion_tokens, (told_in and told_in.cached_tokens) or 0,
                 (told_in and getattr(told_in, "cache_write_tokens", None)) or 0, (told_out and told_out.reasoning_tokens) or 0)
    return Reply(message_.get("content") or "", FINISH.get(finish, finish), used, message_, calls, message_.get("reasoning_content", ""),
                 message_.get("refusal", ""))


if __name__ == "__main__":
    run(Chat)
