"""The official google-genai SDK."""
from google import genai
from google.genai import errors
from google.genai import types as g
from scenarios import run
from talk import Assistant, Call, Reply, Results, Usage, User

FINISH = {"STOP": "stop", "MAX_TOKENS": "length"}


class Gemini:
    NAME = "gemini"
    FAULTS = {400: "ClientError", 429: "ClientError", 500: "ServerError"}
    CUT = errors.APIError

    def __init__(self, url, token):
        self.dropped = []
        options = g.HttpOptions(base_url=url, timeout=30_000, client_args={"event_hooks": {"response": [self.answered]}})
        self.client = genai.Client(api_key=token, http_options=options)

    def answered(self, response):
        self.dropped += response.headers.get("x-keyway-dropped", "").split(", ") if "x-keyway-dropped" in response.headers else []

    def fault(self, error):
        delays = [d["retryDelay"] for d in error.details["error"].get("details", []) if "retryDelay" in d]
        return error.code, float(delays[0].removesuffix("s")) if delays else None

    def ask(self, model, ask, hear):
        config = g.GenerateContentConfig(max_output_tokens=ask.max_tokens, system_instruction=ask.system or None)
        config.temperature, config.top_p, config.stop_sequences = ask.temperature, ask.top_p, ask.stop
        config.automatic_function_calling = g.AutomaticFunctionCallingConfig(disable=True)
        if ask.tools:
            functions = [g.FunctionDeclaration(name=t.name, description=t.description, parameters_json_schema=t.schema) for t in ask.tools]
            config.tools = [g.Tool(function_declarations=functions)]
        if ask.must_call:
            config.tool_config = g.ToolConfig(function_calling_config=g.FunctionCallingConfig(mode="ANY"))
        if ask.schema:
            config.response_mime_type, config.response_json_schema = "application/json", ask.schema
        if ask.think:
            config.thinking_config = g.ThinkingConfig(include_thoughts=True, thinking_budget=2048)
        call = {"model": model, "contents": [content(turn) for turn in ask.turns], "config": config}
        if not ask.stream:
            reply = self.client.models.generate_content(**call)
            return answer(reply.candidates[0].content, reply.candidates[0].finish_reason, reply.usage_metadata)
        parts, finish, usage = [], None, None
        for chunk in self.client.models.generate_content_stream(**call):
            usage = chunk.usage_metadata or usage
            for candidate in chunk.candidates or []:
                finish = candidate.finish_reason or finish
                got = candidate.content.parts if candidate.content and candidate.content.parts else []
                parts += [part for part in got if part.text != "" or part.thought_signature]
                hear("".join(part.text for part in got if part.text and not part.thought))
        return answer(g.Content(role="model", parts=parts), finish, usage)


def content(turn):
    match turn:
        case User(text, media):
            return g.Content(role="user", parts=[g.Part.from_text(text=text), *([part(media)] if media else [])])
        case Assistant(text):
            return g.Content(role="model", parts=[g.Part.from_text(text=text)])
        case Results(pairs):
            results = [g.FunctionResponse(id=call.id, name=call.name, response={"output": text}) for call, text in pairs]
            return g.Content(role="user", parts=[g.Part(function_response=result) for result in results])
        case Reply():
            return turn.native


def part(media):
    if media.url:
        return g.Part.from_uri(file_uri=media.url, mime_type=media.mime)
    return g.Part.from_bytes(data=media.data, mime_type=media.mime)


def answer(said, finish, usage):
    parts = (said and said.parts) or []  # a refusal has none
    calls = [Call(p.function_call.id, p.function_call.name, p.function_call.args) for p in parts if p.function_call]
    text, thoughts = ("".join(p.text for p in parts if p.text and bool(p.thought) == thought) for thought in (False, True))
    reasoned = usage.thoughts_token_count or 0
    used = Usage(usage.prompt_token_count, usage.candidates_token_count + reasoned, usage.cached_content_token_count or 0, None, reasoned)
    # The dialect has no word of its own for an answer that calls.
    finish = "tool" if calls and finish.value == "STOP" else FINISH.get(finish.value, finish.value)
    return Reply(text, finish, used, said, calls, thoughts)


if __name__ == "__main__":
    run(Gemini)
