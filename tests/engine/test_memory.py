"""What the log is the memory of, with the real vLLM: threads, stored completions, responses, one answer for a key."""

from typing import Any

import pytest

from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, chat

pytestmark = pytest.mark.engine

FIRST: Any = {"role": "user", "content": "What is the capital of France?"}
SECOND: Any = {"role": "user", "content": "And of Italy?"}


def test_a_stateless_request_finds_its_conversation(smollm2: Gateway, smollm2_log: Exchanges) -> None:
    """What the model said is known again when a client sends it back, streamed or not."""
    with smollm2.openai() as client:
        answer = client.chat.completions.create(model="zephyr-7b-beta", messages=[FIRST], max_tokens=16)
        said: Any = answer.choices[0].message.model_dump(exclude_none=True)
        stream = client.chat.completions.create(
            model="zephyr-7b-beta", messages=[FIRST, said, SECOND], max_tokens=8, stream=True
        )
        ids = [chunk.id for chunk in stream]
    after = smollm2_log.get(ids[0])
    assert str(after["parent_id"]).replace("-", "") == answer.id.removeprefix("chatcmpl-")
    assert after["conversation_id"] == smollm2_log.get(answer.id)["conversation_id"]
    assert after["input"] == [SECOND]


def test_a_stored_completion_is_what_the_model_said(smollm2: Gateway) -> None:
    with smollm2.openai() as client:
        made = client.chat.completions.create(
            model="zephyr-7b-beta", messages=[FIRST], max_tokens=16, store=True, metadata={"kind": "real"}
        )
        (found,) = client.chat.completions.list(metadata={"kind": "real"})
        assert found.id == made.id
        assert found.choices[0].message.content == made.choices[0].message.content
        assert found.usage is not None
        assert made.usage is not None
        assert found.usage.completion_tokens == made.usage.completion_tokens
        client.chat.completions.delete(made.id)
        assert list(client.chat.completions.list(metadata={"kind": "real"})) == []


def test_responses_follow_from_one_another(smollm2: Gateway) -> None:
    """Streamed and whole; the input's tokens are counted by the engine's own tokenizer."""
    model = "zephyr-7b-beta"
    with smollm2.openai() as client:
        with client.responses.stream(
            model=model, input="What is the capital of France?", temperature=0, max_output_tokens=24
        ) as stream:
            first = stream.get_final_response()
        assert "Paris" in first.output_text
        assert first.usage is not None
        counted = client.responses.input_tokens.count(model=model, input="What is the capital of France?")
        assert counted.input_tokens == first.usage.input_tokens
        second = client.responses.create(
            model=model, input="Say it again.", previous_response_id=first.id, max_output_tokens=24
        )
        assert second.usage is not None
        assert second.usage.input_tokens > first.usage.input_tokens + first.usage.output_tokens / 2
        assert client.responses.retrieve(second.id).output_text == second.output_text


def test_one_key_is_answered_once(smollm2: Gateway) -> None:
    """Sampled twice, a real model would not say the same for so long."""
    body = chat("Tell me a long story.", max_tokens=48, temperature=1.5, stream=True)
    answers = [smollm2.post("/v1/chat/completions", body, **{"Idempotency-Key": "a-story"}) for _ in range(2)]
    assert answers[0].body == answers[1].body
    assert "idempotent-replayed" not in answers[0].headers
    assert answers[1].headers["idempotent-replayed"] == "true"
