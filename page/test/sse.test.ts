import assert from "node:assert/strict";
import { test } from "node:test";
import { plainId, read } from "../src/events.ts";
import { EventParser } from "../src/sse.ts";

const STREAM = ': a comment\r\nevent: x\r\ndata: {"a":1}\r\n\r\ndata:two\ndata: lines\n\nid: 7\n\ndata\n\ndata: \u00fc\n\n';
const DATA = ['{"a":1}', "two\nlines", "", "\u00fc"];

test("events are the same wherever their bytes are torn", () => {
  for (let first = 0; first <= STREAM.length; first++) {
    for (let second = first; second <= STREAM.length; second += 3) {
      const parser = new EventParser();
      const pieces = [STREAM.slice(0, first), STREAM.slice(first, second), STREAM.slice(second)];
      assert.deepEqual(pieces.flatMap((piece) => parser.feed(piece)), DATA, `${first} ${second}`);
    }
  }
});

test("an event without its empty line is none", () => {
  const parser = new EventParser();
  assert.deepEqual(parser.feed("data: half\n"), []);
  assert.deepEqual(parser.feed("\n"), ["half"]);
});

test("both APIs say the same things", () => {
  const id = "chatcmpl-0198a0b1c2d37e4f8a9b0c1d2e3f4a5b";
  const exchange = "0198a0b1-c2d3-7e4f-8a9b-0c1d2e3f4a5b";
  assert.equal(plainId(id), exchange);
  assert.deepEqual(read(JSON.stringify({ id, choices: [{ delta: { content: "Hi" }, finish_reason: null }] })), { exchange, text: "Hi" });
  assert.deepEqual(read('{"choices":[{"delta":{},"finish_reason":"length"}]}'), { finish: "length" });
  assert.deepEqual(read('{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}'), { usage: { prompt_tokens: 1, completion_tokens: 2 } });
  assert.deepEqual(read('{"delta":"Hi"}'), { text: "Hi" });
  assert.deepEqual(read(`{"response":"","id":"${exchange}","conversation":"c","finish_reason":"stop"}`), { whole: "", exchange, conversation: "c", finish: "stop" });
  assert.deepEqual(read("[DONE]"), { end: true });
  assert.deepEqual(read('{"error":{"message":"Broken."}}'), { error: "Broken." });
  assert.throws(() => read("<html>"), SyntaxError);
});
