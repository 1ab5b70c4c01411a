"""A streamed answer with OpenAI's SDK."""

import os

from openai import OpenAI

url, key = os.environ.get("ZEPHYR_URL", "http://localhost:8000"), os.environ.get("ZEPHYR_KEY", "none")

client = OpenAI(base_url=f"{url}/v1", api_key=key)
stream = client.chat.completions.create(
    model="zephyr-7b-beta",
    messages=[{"role": "user", "content": "Write a haiku about queues."}],
    stream=True,
)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
