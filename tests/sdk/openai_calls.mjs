// The official OpenAI SDK for Node against Keyway: one scenario a run.
import assert from "node:assert/strict";
import { ARGUMENTS, DISABLED, NARROW, TEXT, TOKEN, URL_, WEATHER, rejects, run, sdk } from "./scenario.mjs";

const OpenAI = sdk("openai");
const HI = [{ role: "user", content: "Say hello." }];
const ASK = [{ role: "user", content: "Weather in Paris?" }];
const TOOLS = [{ type: "function", function: { name: "weather", description: "Weather of a city", parameters: WEATHER } }];

const client = (token = TOKEN) =>
  new OpenAI.OpenAI({ baseURL: `${URL_}/v1`, apiKey: token, maxRetries: 0, timeout: 30_000 });
const ask = (more = {}, token = TOKEN, options = {}) =>
  client(token).chat.completions.create({ model: "openai/sim-text", messages: HI, ...more }, options);

await run({
  async text() {
    const { data, response } = await ask().withResponse();
    assert.equal(data.choices[0].message.content, TEXT);
    assert.deepEqual([data.usage.prompt_tokens, data.usage.completion_tokens], [11, 7]);
    assert.equal(response.headers.get("x-keyway-request-id").length, 26);
    assert.equal(response.headers.get("x-keyway-target"), "openai/sim-text");
  },

  async stream() {
    let text = "";
    for await (const chunk of await ask({ stream: true })) {
      text += chunk.choices[0].delta.content ?? "";
      assert.ok(!chunk.usage, "usage that nobody asked for");
    }
    assert.equal(text, TEXT);
    let last;
    for await (const chunk of await ask({ stream: true, stream_options: { include_usage: true } })) last = chunk;
    assert.deepEqual([last.choices, last.usage.completion_tokens], [[], 7]);
  },

  async tools() {
    const first = (await ask({ model: "openai/sim-tool", messages: ASK, tools: TOOLS })).choices[0];
    const call = first.message.tool_calls[0];
    assert.deepEqual([call.function.name, JSON.parse(call.function.arguments)], ["weather", ARGUMENTS]);
    const spoken = { role: "assistant", tool_calls: [call] };
    const result = { role: "tool", tool_call_id: call.id, content: "18 degrees" };
    const second = await ask({ model: "openai/sim-tool", messages: [...ASK, spoken, result], tools: TOOLS });
    assert.equal(second.choices[0].message.content, "Tool said: 18 degrees");
  },

  async tool_stream() {
    const call = { model: "openai/sim-tools2", messages: ASK, tools: TOOLS };
    const final = await client().chat.completions.stream(call).finalChatCompletion();
    const cities = final.choices[0].message.tool_calls.map((call) => JSON.parse(call.function.arguments).city);
    assert.deepEqual(cities, ["Paris", "Tokyo"]);
  },

  async embeddings() {
    // The SDK asks for base64 by itself and decodes it.
    const reply = await client().embeddings.create({ model: "openai/sim-text", input: ["one", "two"], dimensions: 8 });
    assert.deepEqual(reply.data.map((row) => row.embedding.length), [8, 8]);
  },

  async models() {
    const names = [];
    for await (const model of client(NARROW).models.list()) names.push(model.id);
    assert.deepEqual(names, ["greeter"]);
  },

  async responses() {
    const reply = await client().responses.create({ model: "openai/sim-text", input: "Say hello." });
    assert.deepEqual([reply.output_text, reply.status], [TEXT, "completed"]);
  },

  async responses_stream() {
    const final = await client().responses.stream({ model: "openai/sim-text", input: "Say hello." }).finalResponse();
    assert.deepEqual([final.output_text, final.status], [TEXT, "completed"]);
  },

  async alias() {
    assert.equal((await ask({ model: "greeter" }, NARROW)).choices[0].message.content, TEXT);
  },

  async wrong_token() {
    await rejects(OpenAI.AuthenticationError, 401, "invalid_api_key", () => ask({}, "kw_wrong"));
    const anonymous = () => client().models.list({ headers: { Authorization: null } });
    await rejects(OpenAI.AuthenticationError, 401, "invalid_api_key", anonymous);
  },

  async client_disabled() {
    await rejects(OpenAI.AuthenticationError, 401, "client_disabled", () => ask({}, DISABLED));
  },

  async model_not_allowed() {
    const wrong = () => ask({ model: "openai/sim-long" }, NARROW);
    await rejects(OpenAI.PermissionDeniedError, 403, "model_not_allowed", wrong);
  },

  async unknown_model() {
    const { error } = await rejects(OpenAI.NotFoundError, 404, "model_not_found", () => ask({ model: "gpt-4o-mnii" }));
    assert.match(error.message, /gpt-4o-mini/);
  },

  async malformed() {
    await rejects(OpenAI.BadRequestError, 400, "invalid_request", () => ask({ model: 5 }));
    // Not ours to judge: the provider's own refusal comes through.
    await rejects(OpenAI.BadRequestError, 400, "temperature", () => ask({ temperature: "hot" }));
  },

  async too_large() {
    const messages = [{ role: "user", content: "x".repeat(33 << 20) }];
    await rejects(OpenAI.APIError, 413, "request_too_large", () => ask({ messages }));
  },

  async rate_limit() {
    const { error } = await rejects(OpenAI.RateLimitError, 429, "", () => ask({ model: "openai/sim-429" }));
    assert.equal(error.headers.get("retry-after"), "7");
  },

  async upstream_refuses_the_key() {
    const refused = () => ask({ model: "openai/sim-401" });
    const { body } = await rejects(OpenAI.InternalServerError, 502, "upstream_error", refused);
    assert.match(body, /sim-401/);
  },

  async all_targets_failed() {
    const unreachable = () => ask({ model: "unreachable" });
    const { body } = await rejects(OpenAI.InternalServerError, 502, "upstream_error", unreachable);
    for (const target of ["gone/a", "gone/b"]) assert.ok(body.includes(target), body);
  },

  async cut_stream() {
    let text = "";
    const read = async () => {
      for await (const chunk of await ask({ model: "openai/sim-cut", stream: true })) text += chunk.choices[0].delta.content ?? "";
    };
    await assert.rejects(read, (error) => error instanceof OpenAI.APIError && JSON.stringify(error.error).includes("upstream_error"));
    assert.ok(text && text !== TEXT, `no beginning of the answer, or all of it: ${text}`);
  },

  async upstream_timeout() {
    const slow = () => ask({ model: "openai/sim-slow-500" }, TOKEN, { headers: { "x-keyway-timeout-ms": "100" } });
    await rejects(OpenAI.InternalServerError, 504, "upstream_timeout", slow);
  },
});
