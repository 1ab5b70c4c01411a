"""What the log is kept for, through the real gateway: conversations, searches, feedback, training data."""

import json
import os
import subprocess
import sys
from uuid import uuid4

from tests.acceptance.gateway import ROOT, Gateway
from tests.fakes.engine import ScriptedEngine


def test_what_an_sdk_said_is_listed_found_judged_and_exported(
    gateway: Gateway, engine: ScriptedEngine, log_url: str
) -> None:
    """Two turns of an unmodified OpenAI client, and one answer made anew."""
    word = f"w{uuid4().hex}"
    first = {"role": "user", "content": f"Tell me of {word}."}
    with gateway.openai() as client:

        def answer(*messages: object) -> tuple[str, dict[str, str]]:
            made = client.chat.completions.create(model="zephyr-7b-beta", messages=messages)  # type: ignore[arg-type]
            return made.id, {"role": "assistant", "content": made.choices[0].message.content or ""}

        _, said = answer(first)
        more = (first, said, {"role": "user", "content": "And more?"})
        worse, _ = answer(*more)
        better, _ = answer(*more)

    (listed,) = [one for one in gateway.get("/v1/conversations").json["data"] if word in (one["title"] or "")]
    assert (listed["title"], listed["exchanges"]) == (first["content"], 3)
    (found,) = gateway.get(f"/log/search?q={word}").json["data"]
    assert found["id"] == listed["id"]

    given = gateway.post(f"/log/exchanges/{better}/feedback", {"rating": 1, "preferred_over": worse})
    assert given.status == 200, given.body
    assert gateway.get(f"/log/exchanges/{better}").json["feedback"] == given.json

    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": log_url}
    command = [sys.executable, "-m", "adapters", "export", "preferences"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    (pair,) = [json.loads(line) for line in done.stdout.splitlines() if word in line]
    assert [message["content"] for message in pair["prompt"]] == [message["content"] for message in more]
    assert pair["chosen"] == pair["rejected"] == [said]
