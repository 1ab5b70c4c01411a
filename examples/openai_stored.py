"""A completion that is stored, found again by its metadata, and deleted, with OpenAI's SDK."""

import os
from uuid import uuid4

from openai import OpenAI

url, key = os.environ.get("ZEPHYR_URL", "http://localhost:8000"), os.environ.get("ZEPHYR_KEY", "none")
ticket = {"ticket": str(uuid4())}

client = OpenAI(base_url=f"{url}/v1", api_key=key)
created = client.chat.completions.create(
    model="zephyr-7b-beta",
    messages=[{"role": "user", "content": "What is a queue?"}],
    store=True,
    metadata=ticket,
)
for completion in client.chat.completions.list(metadata=ticket):
    print(completion.id, completion.choices[0].message.content)
print("deleted:", client.chat.completions.delete(created.id).deleted)
