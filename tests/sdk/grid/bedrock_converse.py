"""boto3, Bedrock's Converse."""
import json
import os

import boto3
from botocore.config import Config
from botocore.exceptions import EventStreamError
from scenarios import run
from talk import Assistant, Call, Reply, Results, Usage, User

FINISH = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool"}


class Converse:
    NAME = "bedrock-converse"
    FAULTS = {400: "ValidationException", 429: "ThrottlingException", 500: "InternalServerException"}
    CUT = EventStreamError

    def __init__(self, url, _token):
        self.dropped = []
        config = Config(retries={"total_max_attempts": 1}, read_timeout=30)
        self.client = boto3.client("bedrock-runtime", endpoint_url=url, region_name="us-east-1", config=config,
                                   aws_access_key_id=os.environ["KEYWAY_ACCESS_KEY_ID"],
                                   aws_secret_access_key=os.environ["KEYWAY_SECRET_ACCESS_KEY"])
        self.client.meta.events.register("after-call.bedrock-runtime", self.answered)

    def answered(self, parsed, **_):
        named = parsed["ResponseMetadata"]["HTTPHeaders"].get("x-keyway-dropped")
        self.dropped += named.split(", ") if named else []

    def fault(self, error):
        told = error.response["ResponseMetadata"]
        return told["HTTPStatusCode"], float(told["HTTPHeaders"].get("retry-after", "nan"))

    def ask(self, model, ask, hear):
        call = {"modelId": model, "messages": [message(turn) for turn in ask.turns]}
        if ask.system:
            call["system"] = [{"text": ask.system}]
        if ask.tools:
            specs = [{"name": t.name, "description": t.description, "inputSchema": {"json": t.schema}} for t in ask.tools]
            call["toolConfig"] = {"tools": [{"toolSpec": spec} for spec in specs]}
        if ask.must_call:
            call["toolConfig"]["toolChoice"] = {"any": {}}
        if ask.schema:
            form = {"jsonSchema": {"schema": json.dumps(ask.schema), "name": "answer"}}
            call["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": form}}
        if ask.think:
            call["additionalModelRequestFields"] = {"thinking": {"type": "enabled", "budget_tokens": 2048}}
        limit = ask.max_tokens or (4096 if ask.think else None)
        inference = {"maxTokens": limit, "temperature": ask.temperature, "topP": ask.top_p, "stopSequences": ask.stop}
        call["inferenceConfig"] = {name: value for name, value in inference.items() if value is not None}
        if ask.stream:
            return streamed(self.client.converse_stream(**call)["stream"], hear)
        reply = self.client.converse(**call)
        return answer(reply["output"]["message"], reply["stopReason"], reply["usage"])


def message(turn):
    match turn:
        case User(text, media):
            return {"role": "user", "content": [{"text": text}, *([block(media)] if media else [])]}
        case Assistant(text):
            return {"role": "assistant", "content": [{"text": text}]}
        case Results(pairs):
            results = [{"toolUseId": call.id, "content": [{"text": text}], "status": "success"} for call, text in pairs]
            return {"role": "user", "content": [{"toolResult": result} for result in results]}
        case Reply():
            return turn.native


def block(media):
    name = {"name": "paper"} if media.kind == "document" else {}
    return {media.kind: {"format": media.mime.split("/")[1], "source": {"bytes": media.data}, **name}}


def streamed(events, hear):
    """The message that its events add up to."""
    blocks, finish, usage = {}, None, None
    for event in events:
        for kind, body in event.items():
            if kind == "contentBlockStart":
                blocks[body["contentBlockIndex"]] = {"toolUse": {**body["start"]["toolUse"], "input": ""}}
            elif kind == "contentBlockDelta":
                delta, block = body["delta"], blocks.setdefault(body["contentBlockIndex"], {})
                hear(delta.get("text"))
                if "text" in delta:
                    block["text"] = block.get("text", "") + delta["text"]
                elif "toolUse" in delta:
                    block["toolUse"]["input"] += delta["toolUse"]["input"]
                elif "redactedContent" in delta["reasoningContent"]:
                    block["reasoningContent"] = delta["reasoningContent"]
                else:
                    thought = block.setdefault("reasoningContent", {}).setdefault("reasoningText", {"text": ""})
                    for name, text in delta["reasoningContent"].items():
                        thought[name] = thought.get(name, "") + text
            elif kind == "messageStop":
                finish = body["stopReason"]
            elif kind == "metadata":
                usage = body["usage"]
    content = [blocks[index] for index in sorted(blocks)]
    for block in content:
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
    return answer({"role": "assistant", "content": content}, finish, usage)


def answer(said, finish, usage):
    blocks = said["content"]
    calls = [Call(b["toolUse"]["toolUseId"], b["toolUse"]["name"], b["toolUse"]["input"]) for b in blocks if "toolUse" in b]
    cached, written = usage.get("cacheReadInputTokens", 0), usage.get("cacheWriteInputTokens", 0)
    used = Usage(usage["inputTokens"] + cached + written, usage["outputTokens"], cached, written)
    text = "".join(b.get("text", "") for b in blocks)
    thoughts = "".join(b["reasoningContent"].get("reasoningText", {}).get("text", "") for b in blocks if "reasoningContent" in b)
    return Reply(text, FINISH.get(finish, finish), used, said, calls, thoughts)


if __name__ == "__main__":
    run(Converse)
