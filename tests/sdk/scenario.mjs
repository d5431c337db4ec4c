// Picks the scenario that the command line names, and checks what an exception has to look like.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

export const URL_ = process.env.KEYWAY_URL;
export const TOKEN = process.env.KEYWAY_TOKEN;
export const NARROW = process.env.NARROW_TOKEN; // a client that may use sim-text alone
export const DISABLED = process.env.DISABLED_TOKEN;

export const WEATHER = {
  type: "object",
  properties: { city: { type: "string" }, unit: { type: "string", enum: ["celsius", "fahrenheit"] } },
  required: ["city", "unit"],
  additionalProperties: false,
};
export const ARGUMENTS = { city: "Paris", unit: "celsius" };
export const TEXT = "Hello from the strict provider.";

// The SDKs are not installed beside these scripts.
export const sdk = createRequire(`${process.env.NODE_MODULES}/`);

// The call rejects with exactly this class and status, and with `code` somewhere in its body.
export async function rejects(kind, status, code, call) {
  let result;
  try {
    result = await call();
  } catch (error) {
    assert.equal(error.constructor, kind, `${error.constructor.name} instead of ${kind.name}: ${error.stack}`);
    assert.equal(error.status, status);
    const body = JSON.stringify(error.error);
    assert.ok(body.includes(code), `no ${code} in ${body}`);
    return { error, body };
  }
  assert.fail(`no ${kind.name} but ${JSON.stringify(result)?.slice(0, 400)}`);
}

export async function run(scenarios) {
  await scenarios[process.argv[2]]();
  console.log("ok");
}
