"""The official OpenAI SDK for Python, responses."""
import json

import openai
from openai_chat import Chat, settings
from scenarios import run
from talk import Assistant, Call, Failed, Reply, Results, Usage, User


class Responses(Chat):
    NAME = "openai-responses"
    CUT = (openai.APIError, Failed)

    def ask(self, model, ask, hear):
        call = {"model": model, "input": [i for turn in ask.turns for i in items(turn)]}
        if ask.system:
            call["instructions"] = ask.system
        if ask.tools:
            call["tools"] = [{"type": "function", "name": t.name, "description": t.description, "parameters": t.schema, "strict": True}
                             for t in ask.tools]
        if ask.schema:
            call["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": ask.schema, "strict": True}}
        if ask.think:
            call |= {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"], "store": False}
        if ask.max_tokens:
            call["max_output_tokens"] = ask.max_tokens
        call |= settings(ask)
        if not ask.stream:
            return answer(self.client.responses.create(**call))
        for event in self.client.responses.create(**call, stream=True):
            if event.type == "response.output_text.delta":
                hear(event.delta)
            if event.type == "response.failed":
                raise Failed(event.response.error)
            if event.type in ("response.completed", "response.incomplete"):
                return answer(event.response)
        raise Failed("no end")


def items(turn):
    match turn:
        case User(text, media):
            yield {"role": "user", "content": [{"type": "input_text", "text": text}, *([part(media)] if media else [])]}
        case Assistant(text):
            yield {"role": "assistant", "content": text}
        case Results(pairs):
            for call, text in pairs:
                yield {"type": "function_call_output", "call_id": call.id, "output": text}
        case Reply():
            yield from turn.native


def part(media):
    if media.kind == "image":
        return {"type": "input_image", "image_url": media.address, "detail": "auto"}
    if media.url:
        return {"type": "input_file", "file_url": media.url}
    return {"type": "input_file", "filename": "paper.pdf", "file_data": media.address}


def answer(response):
    calls = [Call(i.call_id, i.name, json.loads(i.arguments)) for i in response.output if i.type == "function_call"]
    thoughts = [i for i in response.output if i.type == "reasoning"]
    reasoning = "".join(part.text for i in thoughts for part in [*(i.summary or []), *(i.content or [])])
    refusal = "".join(p.refusal for i in response.output if i.type == "message" for p in i.content if p.type == "refusal")
    finish = {"completed": "tool" if calls else "stop"}.get(response.status, response.status)
    if response.incomplete_details:
        finish = {"max_output_tokens": "length"}.get(response.incomplete_details.reason, response.incomplete_details.reason)
    usage, told = response.usage, response.usage.input_tokens_details
    used = Usage(usage.input_tokens, usage.output_tokens, told.cached_tokens, told.cache_write_tokens or 0,
                 usage.output_tokens_details.reasoning_tokens)
    return Reply(response.output_text, finish, used, response.output, calls, reasoning, refusal)


if __name__ == "__main__":
    run(Responses)
