// The official Anthropic SDK for Node against Keyway: one scenario a run.
import assert from "node:assert/strict";
import { ARGUMENTS, DISABLED, NARROW, TEXT, TOKEN, URL_, WEATHER, rejects, run, sdk } from "./scenario.mjs";

const Anthropic = sdk("@anthropic-ai/sdk");
const HI = [{ role: "user", content: "Say hello." }];
const ASK = [{ role: "user", content: "Weather in Paris?" }];
const TOOLS = [{ name: "weather", description: "Weather of a city", input_schema: WEATHER }];

const client = (token = TOKEN) =>
  new Anthropic.Anthropic({ baseURL: URL_, apiKey: token, maxRetries: 0, timeout: 30_000 });
const CALL = { model: "anthropic/sim-text", max_tokens: 200, messages: HI };
const ask = (more = {}, token = TOKEN, options = {}) => client(token).messages.create({ ...CALL, ...more }, options);

await run({
  async text() {
    const { data, response } = await ask().withResponse();
    assert.deepEqual([data.content[0].text, data.stop_reason], [TEXT, "end_turn"]);
    assert.deepEqual([data.usage.input_tokens, data.usage.output_tokens], [11, 7]);
    assert.equal(response.headers.get("x-keyway-target"), "anthropic/sim-text");
    assert.ok(response.headers.get("x-request-id"), "the provider's own request id is gone");
  },

  async stream() {
    const final = await client().messages.stream(CALL).finalMessage();
    assert.deepEqual([final.content[0].text, final.usage.output_tokens], [TEXT, 7]);
  },

  async tools() {
    const first = await ask({ model: "anthropic/sim-tool", messages: ASK, tools: TOOLS });
    const use = first.content.find((block) => block.type === "tool_use");
    assert.deepEqual([use.name, use.input], ["weather", ARGUMENTS]);
    const spoken = { role: "assistant", content: [{ type: "tool_use", id: use.id, name: use.name, input: use.input }] };
    const result = { role: "user", content: [{ type: "tool_result", tool_use_id: use.id, content: "18 degrees" }] };
    const second = await ask({ model: "anthropic/sim-tool", messages: [...ASK, spoken, result], tools: TOOLS });
    assert.equal(second.content[0].text, "Tool said: 18 degrees");
  },

  async tool_stream() {
    const call = { ...CALL, model: "anthropic/sim-tools2", messages: ASK, tools: TOOLS };
    const final = await client().messages.stream(call).finalMessage();
    const uses = final.content.filter((block) => block.type === "tool_use");
    assert.deepEqual(uses.map((use) => use.input.city), ["Paris", "Tokyo"]);
  },

  async count_tokens() {
    const counted = await client().messages.countTokens({ model: "anthropic/sim-text", messages: HI });
    assert.ok(counted.input_tokens > 0);
  },

  async models() {
    const names = [];
    for await (const model of client(NARROW).models.list()) names.push([model.id, model.type]);
    assert.deepEqual(names, [["greeter", "model"]]);
  },

  async alias() {
    assert.equal((await ask({ model: "greeter" }, NARROW)).content[0].text, TEXT);
  },

  async wrong_token() {
    await rejects(Anthropic.AuthenticationError, 401, "invalid_api_key", () => ask({}, "kw_wrong"));
    await rejects(Anthropic.AuthenticationError, 401, "invalid_api_key", () => client("").models.list());
  },

  async client_disabled() {
    await rejects(Anthropic.AuthenticationError, 401, "client_disabled", () => ask({}, DISABLED));
  },

  async model_not_allowed() {
    const wrong = () => ask({ model: "anthropic/sim-long" }, NARROW);
    await rejects(Anthropic.PermissionDeniedError, 403, "model_not_allowed", wrong);
  },

  async unknown_model() {
    const unknown = () => ask({ model: "claude-haiku-4-6" });
    const { error } = await rejects(Anthropic.NotFoundError, 404, "model_not_found", unknown);
    assert.match(error.message, /claude-haiku-4-5/);
  },

  async malformed() {
    await rejects(Anthropic.BadRequestError, 400, "invalid_request", () => ask({ model: 5 }));
    // Not ours to judge: the provider's own refusal comes through.
    await rejects(Anthropic.BadRequestError, 400, "max_tokens", () => ask({ max_tokens: 0 }));
  },

  async too_large() {
    const messages = [{ role: "user", content: "x".repeat(33 << 20) }];
    await rejects(Anthropic.ContentTooLargeError, 413, "request_too_large", () => ask({ messages }));
  },

  async rate_limit() {
    const limited = () => ask({ model: "anthropic/sim-429" });
    const { error } = await rejects(Anthropic.RateLimitError, 429, "rate_limit_error", limited);
    assert.deepEqual([error.headers.get("retry-after"), error.requestID], ["7", "req_strict"]);
  },

  async upstream_refuses_the_key() {
    const refused = () => ask({ model: "anthropic/sim-401" });
    const { body } = await rejects(Anthropic.InternalServerError, 502, "upstream_error", refused);
    assert.match(body, /sim-401/);
  },

  async all_targets_failed() {
    const unreachable = () => ask({ model: "unreachable" });
    const { body } = await rejects(Anthropic.InternalServerError, 502, "upstream_error", unreachable);
    for (const target of ["gone/a", "gone/b"]) assert.ok(body.includes(target), body);
  },

  async cut_stream() {
    let text = "";
    const read = async () => {
      for await (const event of await ask({ model: "anthropic/sim-cut", stream: true })) text += event.delta?.text ?? "";
    };
    await assert.rejects(read, (error) => error instanceof Anthropic.APIError && JSON.stringify(error.error).includes("upstream_error"));
    assert.ok(text && text !== TEXT, `no beginning of the answer, or all of it: ${text}`);
  },

  async upstream_timeout() {
    const slow = () => ask({ model: "anthropic/sim-slow-500" }, TOKEN, { headers: { "x-keyway-timeout-ms": "100" } });
    await rejects(Anthropic.GatewayTimeoutError, 504, "upstream_timeout", slow);
  },
});
