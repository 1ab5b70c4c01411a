"""A request that may be sent again without being paid for twice, with OpenAI's SDK.

The SDK tries again by itself when a connection breaks; with the same `Idempotency-Key` each try gets the one answer.
"""

import os
from uuid import uuid4

from openai import OpenAI

url, key = os.environ.get("ZEPHYR_URL", "http://localhost:8000"), os.environ.get("ZEPHYR_KEY", "none")
order = str(uuid4())

client = OpenAI(base_url=f"{url}/v1", api_key=key)
for _ in range(2):
    answer = client.chat.completions.with_raw_response.create(
        model="zephyr-7b-beta",
        messages=[{"role": "user", "content": "Pick a number."}],
        extra_headers={"Idempotency-Key": order},
    )
    replayed = answer.headers.get("idempotent-replayed") == "true"
    print("again:" if replayed else "first:", answer.parse().choices[0].message.content)
