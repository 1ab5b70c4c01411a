// A streamed answer with OpenAI's SDK for Node (npm install openai).
import OpenAI from "openai";

const { ZEPHYR_URL: url = "http://localhost:8000", ZEPHYR_KEY: apiKey = "none" } = process.env;

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey });
const stream = await client.chat.completions.create({
  model: "zephyr-7b-beta",
  messages: [{ role: "user", content: "Write a haiku about queues." }],
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? "");
console.log();
