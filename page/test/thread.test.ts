import assert from "node:assert/strict";
import { test } from "node:test";
import { type Thread, type Turn, ancestors, emptyThread, path, showing, siblings, withTurn } from "../src/thread.ts";

function turn(id: string, parent: string | null): Turn {
  const sampling = { maxNewTokens: 1, doSample: true, temperature: 1, topK: 1, topP: 1 };
  return { id, parent, endpoint: "/x", question: id, fields: {}, sampling, key: id, answer: "", state: "done" };
}

const grown = [turn("a", null), turn("b", "a"), turn("c", "b"), turn("b2", "a")].reduce<Thread>(withTurn, emptyThread());
const shown = (thread: Thread) => path(thread).map(({ id }) => id);

test("the newest branch is shown, and another one when it is chosen", () => {
  assert.deepEqual(shown(grown), ["a", "b2"]);
  assert.deepEqual(shown(showing(grown, grown.turns["b"] as Turn)), ["a", "b", "c"]);
  assert.deepEqual(siblings(grown, "a").map(({ id }) => id), ["b", "b2"]);
});

test("what was said before a turn is its own branch", () => {
  assert.deepEqual(ancestors(grown, "c").map(({ id }) => id), ["a", "b", "c"]);
  assert.deepEqual(ancestors(grown, null), []);
});

test("a turn that changes stays where it is shown", () => {
  const other = showing(grown, grown.turns["b"] as Turn);
  assert.deepEqual(shown(withTurn(other, { ...turn("b2", "a"), answer: "late" })), ["a", "b", "c"]);
});

test("a branch that is gone is not looked for", () => {
  assert.deepEqual(shown({ ...grown, shown: { "": "a", a: "nothing" } }), ["a", "b2"]);
});
