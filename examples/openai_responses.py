"""Responses that go on from one another, the second one streamed, with OpenAI's SDK."""

import os

from openai import OpenAI

url, key = os.environ.get("ZEPHYR_URL", "http://localhost:8000"), os.environ.get("ZEPHYR_KEY", "none")

client = OpenAI(base_url=f"{url}/v1", api_key=key)
first = client.responses.create(model="zephyr-7b-beta", input="What is a queue?")
print(first.output_text)
events = client.responses.create(
    model="zephyr-7b-beta", input="And a stack?", previous_response_id=first.id, stream=True
)
for event in events:
    if event.type == "response.output_text.delta":
        print(event.delta, end="", flush=True)
print()
