"""The official Anthropic SDK for Python."""
import anthropic
from scenarios import run
from talk import Assistant, Call, Reply, Results, Usage, User

FINISH = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool"}


class Messages:
    NAME = "anthropic-messages"
    FAULTS = {400: "BadRequestError", 429: "RateLimitError", 500: "InternalServerError"}
    CUT = anthropic.APIStatusError

    def __init__(self, url, token):
        self.dropped = []
        http = anthropic.DefaultHttpxClient(event_hooks={"response": [self.answered]})
        self.client = anthropic.Anthropic(base_url=url, api_key=token, max_retries=0, timeout=30, http_client=http)

    def answered(self, response):
        self.dropped += response.headers.get("x-keyway-dropped", "").split(", ") if "x-keyway-dropped" in response.headers else []

    def fault(self, error):
        return error.status_code, float(error.response.headers.get("retry-after", "nan"))

    def ask(self, model, ask, hear):
        call = {"model": model, "max_tokens": ask.max_tokens or 4096, "messages": [message(turn) for turn in ask.turns]}
        if ask.system:
            call["system"] = ask.system
        if ask.tools:
            call["tools"] = [{"name": t.name, "description": t.description, "input_schema": t.schema} for t in ask.tools]
        if ask.must_call:
            call["tool_choice"] = {"type": "any"}
        if ask.stop:
            call["stop_sequences"] = ask.stop
        if ask.schema:
            call["output_config"] = {"format": {"type": "json_schema", "schema": ask.schema}}
        if ask.think:
            call["thinking"] = {"type": "enabled", "budget_tokens": 2048}
        if not ask.stream:
            return answer(self.client.messages.create(**call))
        with self.client.messages.stream(**call) as events:
            for text in events.text_stream:
                hear(text)
            return answer(events.get_final_message())


def message(turn):
    match turn:
        case User(text, None):
            return {"role": "user", "content": text}
        case User(text, media):
            inline = {"type": "base64", "media_type": media.mime, "data": media.base64}
            source = {"type": "url", "url": media.url} if media.url else inline
            return {"role": "user", "content": [{"type": "text", "text": text}, {"type": media.kind, "source": source}]}
        case Assistant(text):
            return {"role": "assistant", "content": text}
        case Results(pairs):
            return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": text} for call, text in pairs]}
        case Reply():
            return {"role": "assistant", "content": turn.native}


def answer(message_):
    blocks, usage = message_.content, message_.usage
    calls = [Call(b.id, b.name, b.input) for b in blocks if b.type == "tool_use"]
    cached, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    details = usage.output_tokens_details
    used = Usage(usage.input_tokens + cached + written, usage.output_tokens, cached, written, details.thinking_tokens if details else None)
    text, reasoning = ("".join(getattr(b, kind) for b in blocks if b.type == kind) for kind in ("text", "thinking"))
    return Reply(text, FINISH.get(message_.stop_reason, message_.stop_reason), used, blocks, calls, reasoning)


if __name__ == "__main__":
    run(Messages)
