// OpenAI's own Node SDK against the gateway's stateful API. The gateway's address is the only argument.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "none", maxRetries: 0 });
const model = "zephyr-7b-beta";
const run = `run-${process.pid}`;
const messages = [{ role: "user", content: "hello" }];

async function collect(pages) {
  const found = [];
  for await (const one of pages) found.push(one);
  return found;
}

const checks = {
  async "stored chat completions"() {
    const ids = [];
    for (let number = 0; number < 3; number++) {
      const made = await client.chat.completions.create({ model, messages, store: true, metadata: { run } });
      ids.push(made.id);
    }
    const read = await client.chat.completions.retrieve(ids[0]);
    assert.equal(read.choices[0].message.content, "Hello, world.");
    assert.deepEqual(read.metadata, { run });
    const listed = await collect(client.chat.completions.list({ metadata: { run }, limit: 2 }));
    assert.deepEqual(listed.map((one) => one.id), ids);
    const changed = await client.chat.completions.update(ids[1], { metadata: { run: "another" } });
    assert.deepEqual(changed.metadata, { run: "another" });
    const said = await collect(client.chat.completions.messages.list(ids[0]));
    assert.deepEqual(said.map((one) => one.content), ["hello"]);
    assert.equal((await client.chat.completions.delete(ids[0])).deleted, true);
    await assert.rejects(client.chat.completions.retrieve(ids[0]), OpenAI.NotFoundError);
  },

  async "a response and what follows from it"() {
    const first = await client.responses.create({ model, input: "hello", metadata: { run } });
    assert.equal(first.output_text, "Hello, world.");
    assert.equal(first.status, "completed");
    const second = await client.responses.create({ model, input: "and now?", previous_response_id: first.id });
    assert.equal(second.previous_response_id, first.id);
    assert.equal((await client.responses.retrieve(second.id)).output_text, "Hello, world.");
    const items = await collect(client.responses.inputItems.list(first.id));
    assert.equal(items[0].content[0].text, "hello");
    const counted = await client.responses.inputTokens.count({ model, input: "hello" });
    assert.ok(counted.input_tokens > 0);
    await client.responses.delete(first.id);
    await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
  },

  async "a streamed response"() {
    const stream = await client.responses.create({ model, input: "hello", stream: true });
    const events = await collect(stream);
    assert.deepEqual(events.map((one) => one.sequence_number), events.map((_, place) => place));
    assert.equal(events[0].type, "response.created");
    assert.equal(events.at(-1).type, "response.completed");
    const text = events.filter((one) => one.type === "response.output_text.delta").map((one) => one.delta);
    assert.equal(text.join(""), "Hello, world.");
  },

  async "a response in the background"() {
    let answer = await client.responses.create({ model, input: "hello", background: true });
    const limit = Date.now() + 10_000;
    while (answer.status === "queued" || answer.status === "in_progress") {
      assert.ok(Date.now() < limit);
      await new Promise((resolve) => setTimeout(resolve, 50));
      answer = await client.responses.retrieve(answer.id);
    }
    assert.equal(answer.output_text, "Hello, world.");
  },

  async "a conversation"() {
    const made = await client.conversations.create({ metadata: { run } });
    await client.responses.create({ model, input: "hello", conversation: made.id });
    const items = await collect(client.conversations.items.list(made.id, { order: "asc" }));
    assert.deepEqual(items.map((one) => one.content[0].text), ["hello", "Hello, world."]);
    assert.equal((await client.conversations.delete(made.id)).deleted, true);
    await assert.rejects(client.conversations.retrieve(made.id), OpenAI.NotFoundError);
  },

  async "an error in the API's shape"() {
    await assert.rejects(client.responses.create({ model, input: "x", temperature: 9 }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.param, "temperature");
      return true;
    });
  },
};

for (const [name, check] of Object.entries(checks)) {
  await check();
  console.log(`ok ${name}`);
}
