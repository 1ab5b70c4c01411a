// A stream that has to wait for its turn, which it is told in comments.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "none", maxRetries: 0 });

const chunks = await client.chat.completions.create({
  model: "zephyr-7b-beta",
  messages: [{ role: "user", content: "hello" }],
  stream: true,
});
let text = "";
for await (const chunk of chunks) text += chunk.choices[0]?.delta.content ?? "";
console.log(`chat ${text}`);

const events = await client.responses.create({ model: "zephyr-7b-beta", input: "hello", stream: true });
text = "";
for await (const event of events) if (event.type === "response.output_text.delta") text += event.delta;
console.log(`response ${text}`);
