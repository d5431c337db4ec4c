// Node's SDKs, each to a provider of its own dialect and to one of another: the four that providers publish, and `ai` with
// its providers. Prints cells as the Python scripts do.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

globalThis.AI_SDK_LOG_WARNINGS = false;

const URL_ = process.env.KEYWAY_URL;
const TOKEN = process.env.KEYWAY_TOKEN;
const AWS = { region: "us-east-1", accessKeyId: process.env.KEYWAY_ACCESS_KEY_ID, secretAccessKey: process.env.KEYWAY_SECRET_ACCESS_KEY };

// The SDKs are not installed beside this script, and some are modules only.
const from = createRequire(`${process.env.NODE_MODULES}/`);
const sdk = (name) => import(pathToFileURL(from.resolve(name)));

const TEXT = "Hello from the strict provider.";
const HI = "Say hello.";
const ASK = "Weather in Paris?";
const PARIS = { city: "Paris", unit: "celsius" };
const PLACE = {
  type: "object",
  properties: { city: { type: "string" }, unit: { type: "string", enum: ["celsius", "fahrenheit"] } },
  required: ["city", "unit"],
  additionalProperties: false,
};
const WEATHER = { name: "get_weather", description: "Weather of a city" };
const DEGREES = "18 degrees";

const { default: OpenAI } = await sdk("openai");
const { default: Anthropic } = await sdk("@anthropic-ai/sdk");
const { GoogleGenAI } = await sdk("@google/genai");
const ai = await sdk("ai");
const openai = new OpenAI({ baseURL: `${URL_}/v1`, apiKey: TOKEN, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: URL_, apiKey: TOKEN, maxRetries: 0 });
const gemini = new GoogleGenAI({ apiKey: TOKEN, httpOptions: { baseUrl: URL_ } });

async function joined(pieces, text) {
  let whole = "";
  for await (const piece of pieces) whole += text(piece) ?? "";
  return whole;
}

const chat = {
  async text(model, stream) {
    const call = { model, messages: [{ role: "user", content: HI }] };
    if (stream) return joined(await openai.chat.completions.create({ ...call, stream }), (c) => c.choices[0]?.delta.content);
    return (await openai.chat.completions.create(call)).choices[0].message.content;
  },
  async tools(model) {
    const call = { model, tools: [{ type: "function", function: { ...WEATHER, parameters: PLACE } }], messages: [{ role: "user", content: ASK }] };
    const first = (await openai.chat.completions.create(call)).choices[0].message;
    assert.deepEqual(JSON.parse(first.tool_calls[0].function.arguments), PARIS);
    call.messages.push(first, { role: "tool", tool_call_id: first.tool_calls[0].id, content: DEGREES });
    return (await openai.chat.completions.create(call)).choices[0].message.content;
  },
  refused: (error) => [error.constructor.name, error.status],
  wanted: ["RateLimitError", 429],
};

const responses = {
  ...chat,
  async text(model, stream) {
    if (stream) return joined(await openai.responses.create({ model, input: HI, stream }), (e) => (e.type === "response.output_text.delta" ? e.delta : ""));
    return (await openai.responses.create({ model, input: HI })).output_text;
  },
  async tools(model) {
    const call = { model, tools: [{ type: "function", ...WEATHER, parameters: PLACE, strict: true }], input: [{ role: "user", content: ASK }] };
    const { output } = await openai.responses.create(call);
    const use = output.find((item) => item.type === "function_call");
    assert.deepEqual(JSON.parse(use.arguments), PARIS);
    call.input.push(...output, { type: "function_call_output", call_id: use.call_id, output: DEGREES });
    return (await openai.responses.create(call)).output_text;
  },
};

const messages = {
  async text(model, stream) {
    const call = { model, max_tokens: 200, messages: [{ role: "user", content: HI }] };
    const reply = await (stream ? anthropic.messages.stream(call).finalMessage() : anthropic.messages.create(call));
    return reply.content[0].text;
  },
  async tools(model) {
    const call = { model, max_tokens: 200, tools: [{ ...WEATHER, input_schema: PLACE }], messages: [{ role: "user", content: ASK }] };
    const { content } = await anthropic.messages.create(call);
    const use = content.find((block) => block.type === "tool_use");
    assert.deepEqual(use.input, PARIS);
    const result = { type: "tool_result", tool_use_id: use.id, content: DEGREES };
    call.messages.push({ role: "assistant", content }, { role: "user", content: [result] });
    return (await anthropic.messages.create(call)).content[0].text;
  },
  refused: (error) => [error.constructor.name, error.status],
  wanted: ["RateLimitError", 429],
};

const generate = {
  async text(model, stream) {
    if (stream) return joined(await gemini.models.generateContentStream({ model, contents: HI }), (chunk) => chunk.text);
    return (await gemini.models.generateContent({ model, contents: HI })).text;
  },
  async tools(model) {
    const config = { tools: [{ functionDeclarations: [{ ...WEATHER, parametersJsonSchema: PLACE }] }] };
    const contents = [{ role: "user", parts: [{ text: ASK }] }];
    const reply = await gemini.models.generateContent({ model, contents, config });
    const [{ id, name, args }] = reply.functionCalls;
    assert.deepEqual(args, PARIS);
    contents.push(reply.candidates[0].content, { role: "user", parts: [{ functionResponse: { id, name, response: { output: DEGREES } } }] });
    return (await gemini.models.generateContent({ model, contents, config })).text;
  },
  refused: (error) => [error.constructor.name, error.status],
  wanted: ["ApiError", 429],
};

// A provider of `ai`; its own loop runs the tool.
const vercel = (model_of, result) => ({
  async text(name, stream) {
    const call = { model: model_of(name), prompt: HI, maxRetries: 0 };
    if (!stream) return (await ai.generateText(call)).text;
    return joined(ai.streamText({ ...call, onError: ({ error }) => { throw error; } }).textStream, (text) => text);
  },
  async tools(name) {
    const execute = (input) => (assert.deepEqual(input, PARIS), DEGREES);
    const get_weather = ai.tool({ description: WEATHER.description, inputSchema: ai.jsonSchema(PLACE), execute });
    const call = { model: model_of(name), prompt: ASK, tools: { get_weather }, stopWhen: ai.stepCountIs(2), maxRetries: 0 };
    return (await ai.generateText(call)).text;
  },
  refused: (error) => [error.name, error.statusCode],
  wanted: ["AI_APICallError", 429],
  result,
});
// Google's wraps what the tool said into an object of two members, which stays one; the strict provider sets blanks.
const wrapped = (target) => {
  const text = JSON.stringify({ name: WEATHER.name, content: DEGREES });
  return target === "gemini" ? text.replaceAll(/([:,])/g, "$1 ") : text;
};
const made = async (name, create, settings) => (await sdk(name))[create](settings);
const v1 = { baseURL: `${URL_}/v1`, apiKey: TOKEN };
const aiOpenai = await made("@ai-sdk/openai", "createOpenAI", v1);
const aiAnthropic = await made("@ai-sdk/anthropic", "createAnthropic", v1);
const aiGoogle = await made("@ai-sdk/google", "createGoogleGenerativeAI", { ...v1, baseURL: `${URL_}/v1beta` });
const aiBedrock = await made("@ai-sdk/amazon-bedrock", "createAmazonBedrock", { ...AWS, baseURL: URL_ });
const aiCohere = await made("@ai-sdk/cohere", "createCohere", { ...v1, baseURL: `${URL_}/v2` });
const aiCompatible = await made("@ai-sdk/openai-compatible", "createOpenAICompatible", { ...v1, name: "keyway" });

// Each SDK with its own dialect and one more.
const CALLERS = [
  ["openai chat", chat, "openai-chat", "anthropic-messages"],
  ["openai responses", responses, "openai-responses", "gemini"],
  ["anthropic", messages, "anthropic-messages", "openai-chat"],
  ["google-genai", generate, "gemini", "bedrock-converse"],
  ["ai openai", vercel((name) => aiOpenai(name)), "openai-responses", "anthropic-messages"],
  ["ai openai chat", vercel((name) => aiOpenai.chat(name)), "openai-chat", "gemini"],
  ["ai openai-compatible", vercel((name) => aiCompatible(name)), "openai-chat", "cohere-chat"],
  ["ai anthropic", vercel((name) => aiAnthropic(name)), "anthropic-messages", "bedrock-converse"],
  ["ai google", vercel((name) => aiGoogle(`models/${name}`), wrapped), "gemini", "openai-responses"],
  ["ai bedrock", vercel((name) => aiBedrock(name)), "bedrock-converse", "openai-chat"],
  ["ai cohere", vercel((name) => aiCohere(name)), "cohere-chat", "anthropic-messages"],
];

const user = (text) => ({ role: "user", parts: [{ text }] });
const said = (turns, stream = false, tools = []) => ({ system: "", turns, tools, stream });
const SCENARIOS = {
  async text(caller, name) {
    assert.equal(await caller.text(name("text"), false), TEXT);
    return [said([user(HI)])];
  },
  async stream(caller, name) {
    assert.equal(await caller.text(name("text"), true), TEXT);
    return [said([user(HI)], true)];
  },
  async results(caller, name, target) {
    const result = caller.result?.(target) ?? DEGREES;
    assert.equal(await caller.tools(name("tool")), `Tool said: ${result}`);
    const call = { role: "assistant", parts: [{ call: { name: "get_weather", args: PARIS } }] };
    const answer = { role: "tool", parts: [{ result: { name: "get_weather", text: result } }] };
    const tools = [{ ...WEATHER, params: ["city", "unit"], required: ["city", "unit"] }];
    return [said([user(ASK)], false, tools), said([user(ASK), call, answer], false, tools)];
  },
  async error_429(caller, name) {
    const failed = await caller.text(name("429"), false).then((text) => assert.fail(`no error but ${text}`), (error) => error);
    assert.deepEqual(caller.refused(failed), caller.wanted, `${failed}`);
    return [said([user(HI)])];
  },
};

const models = new Map(process.argv[2].split(",").map((pair) => pair.split("=")));
for (const [caller, play, ...targets] of CALLERS) {
  for (const target of targets) {
    for (const [scenario, run] of Object.entries(SCENARIOS)) {
      const begun = performance.now();
      const cell = { caller, target, scenario, why: null, said: [], dropped: [] };
      const name = (kind) => `${models.get(target)}grid.${caller}.${target}.${scenario}.sim-${kind}`.replaceAll(" ", "_");
      try {
        cell.said = await run(play, name, target);
      } catch (error) {
        cell.why = `${error.name}: ${error.message}`.slice(0, 1200);
      }
      console.log(JSON.stringify({ ...cell, caller: caller.replaceAll(" ", "_"), ms: Math.round(performance.now() - begun) }));
    }
  }
}
