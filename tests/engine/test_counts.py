"""vLLM counts tokens in every event of a stream where the gateway asks it to; what clients see is as without."""

import json
from typing import Any

import pytest

from adapters.completions import events
from adapters.completions.transcript import Transcript
from serving.readiness import ask
from tests.engine.engines import ANSWER_SECONDS, RealEngine

pytestmark = pytest.mark.engine
COUNTED = {"include_usage": True, "continuous_usage_stats": True}


def stream(engine: RealEngine, path: str, body: dict[str, Any], options: dict[str, bool]) -> bytes:
    """All bytes of a stream."""
    sent = {"model": engine.model, "stream": True, "stream_options": options, **body}
    return ask(engine.url, path, sent, timeout=ANSWER_SECONDS).body


def shown(piece: bytes) -> list[dict[str, Any]]:
    """What the events say, without what differs from one request to the next."""
    found = [json.loads(events.data(event)) for event in events.split(piece) if b"[DONE]" not in event]
    return [{name: value for name, value in one.items() if name not in ("id", "created")} for one in found]


@pytest.mark.parametrize("choices", [1, 2])
@pytest.mark.parametrize("chat", [True, False], ids=["chat", "completion"])
def test_counts_are_taken_out_and_add_up(smollm2_engine: RealEngine, chat: bool, choices: int) -> None:
    """Without them the events are those of a stream that does not count, and at any cut the transcript knows the sum."""
    text = 'Say: "choices":[{}],"usage":{}'
    path = "/v1/chat/completions" if chat else "/v1/completions"
    body: dict[str, Any] = {"messages": [{"role": "user", "content": text}]} if chat else {"prompt": text}
    body |= {"max_tokens": 12, "temperature": 0 if choices == 1 else 1, "n": choices}
    counted = stream(smollm2_engine, path, body, COUNTED)
    assert counted.count(b'"usage":{') > 12
    bare = shown(events.without_counts(counted))
    assert [bool(one.get("usage")) for one in bare] == [False] * (len(bare) - 1) + [True]
    if choices == 1:  # several are sampled, and say something else every time
        assert bare == shown(stream(smollm2_engine, path, body, {"include_usage": True}))
    transcript = Transcript(10**6)
    highest = 0
    for event in events.split(counted):
        transcript.add(event)
        transcript.read()
        assert transcript.usage is not None
        assert (transcript.usage.completion_tokens or 0) >= highest
        highest = transcript.usage.completion_tokens or 0
    assert highest == bare[-1]["usage"]["completion_tokens"]
