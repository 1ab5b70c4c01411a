"""The gateway before the real vLLM with the default model: what a client gets, and what the log keeps."""

import asyncio
import json
import threading
import time
from typing import Any

import openai
import pytest
import websockets.sync.client

from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, chat
from tests.engine.engines import RealEngine

pytestmark = pytest.mark.engine

QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def test_the_model_knows_the_capital_of_france_and_the_log_knows_it_said_so(
    smollm2: Gateway, smollm2_log: Exchanges
) -> None:
    """A plain answer is right, truly named, and recorded word for word."""
    answer = smollm2.openai().chat.completions.create(
        model="zephyr-7b-beta", messages=QUESTION, temperature=0, max_tokens=24
    )
    text = answer.choices[0].message.content or ""
    assert "Paris" in text
    assert "SmolLM2" in answer.model
    exchange = smollm2_log.get(answer.id)
    assert exchange["input"] == QUESTION
    assert exchange["answer"][0]["content"] == text
    assert exchange["outcome"] in ("completed", "length")
    assert exchange["completion_tokens"] == answer.usage.completion_tokens  # type: ignore[union-attr]
    assert exchange["model"] == answer.model


def test_a_stream_says_the_same_token_by_token(smollm2: Gateway, smollm2_log: Exchanges) -> None:
    """A stream carries the same greedy text in many pieces, and is recorded when it ends."""
    stream = smollm2.openai().chat.completions.create(
        model="zephyr-7b-beta", messages=QUESTION, temperature=0, max_tokens=24, stream=True
    )
    chunks = list(stream)
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert len([piece for piece in pieces if piece]) > 3
    assert all(chunk.usage is None for chunk in chunks), "usage that nobody asked for"
    exchange = smollm2_log.now(chunks[0].id)
    assert exchange is not None, "the end was told before the record was durable"
    assert exchange["answer"][0]["content"] == "".join(pieces)
    assert exchange["completion_tokens"] > 0
    assert exchange["first_token_ms"] > 0


def test_usage_is_streamed_where_it_is_asked_for(smollm2: Gateway) -> None:
    """`stream_options.include_usage` brings the engine's own count."""
    stream = smollm2.openai().chat.completions.create(
        model="zephyr-7b-beta",
        messages=QUESTION,
        max_tokens=4,
        stream=True,
        stream_options={"include_usage": True},
    )
    usages = [chunk.usage for chunk in stream if chunk.usage is not None]
    assert len(usages) == 1
    assert usages[0].completion_tokens == 4


async def test_the_asynchronous_client_asks_many_things_at_once(smollm2: Gateway) -> None:
    """Requests run side by side: the engine batches them."""
    async with openai.AsyncOpenAI(base_url=smollm2.url + "/v1", api_key="none", max_retries=0) as client:
        answers = await asyncio.gather(
            *(
                client.chat.completions.create(
                    model="zephyr-7b-beta", messages=QUESTION, temperature=0, max_tokens=16
                )
                for _ in range(6)
            )
        )
    assert all("Paris" in (answer.choices[0].message.content or "") for answer in answers)
    assert len({answer.id for answer in answers}) == 6


def test_choices_and_logprobs_come_through(smollm2: Gateway) -> None:
    """`n` and `logprobs` are the engine's own."""
    answer = smollm2.openai().chat.completions.create(
        model="zephyr-7b-beta",
        messages=QUESTION,
        n=2,
        max_tokens=4,
        logprobs=True,
        top_logprobs=2,
        temperature=1,
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert len(logprobs.content[0].top_logprobs) == 2


def test_an_answer_follows_a_schema(smollm2: Gateway) -> None:
    """`response_format` constrains what even a small model writes."""
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "large": {"type": "boolean"}},
        "required": ["city", "large"],
        "additionalProperties": False,
    }
    answer = smollm2.openai().chat.completions.create(
        model="zephyr-7b-beta",
        messages=QUESTION,
        temperature=0,
        max_tokens=64,
        response_format={"type": "json_schema", "json_schema": {"name": "capital", "schema": schema}},
    )
    said = json.loads(answer.choices[0].message.content or "")
    assert set(said) == {"city", "large"}


def test_a_tool_is_called_where_one_must_be(smollm2: Gateway, smollm2_log: Exchanges) -> None:
    """A forced tool call has the tool's name and valid arguments, and is in the log."""
    answer = smollm2.openai().chat.completions.create(
        model="zephyr-7b-beta",
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        temperature=0,
        max_tokens=64,
    )
    calls: Any = answer.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather"]
    json.loads(calls[0].function.arguments)
    logged = smollm2_log.get(answer.id)["answer"][0]["tool_calls"]
    assert logged[0]["function"]["arguments"] == calls[0].function.arguments


def test_extensions_of_vllm_work_through_extra_body(smollm2: Gateway) -> None:
    """`top_k=1` makes even a hot sampling greedy: it reaches the engine."""
    texts = {
        smollm2.openai()
        .chat.completions.create(
            model="zephyr-7b-beta",
            messages=QUESTION,
            temperature=2,
            max_tokens=8,
            extra_body={"top_k": 1, "min_p": 0.0, "repetition_penalty": 1.0},
        )
        .choices[0]
        .message.content
        for _ in range(3)
    }
    assert len(texts) == 1


def test_a_text_is_continued(smollm2: Gateway, smollm2_log: Exchanges) -> None:
    """`/v1/completions` takes a bare prompt."""
    answer = smollm2.openai().completions.create(
        model="zephyr-7b-beta", prompt="The capital of France is", temperature=0, max_tokens=6
    )
    assert "Paris" in answer.choices[0].text
    exchange = smollm2_log.get(answer.id)
    assert exchange["input"] == "The capital of France is"
    assert exchange["answer"][0]["content"] == answer.choices[0].text


def test_a_prompt_longer_than_the_context_is_the_callers_mistake(smollm2: Gateway) -> None:
    """Plain and streamed, the engine's refusal is a 400 with OpenAI's code."""
    messages: Any = [{"role": "user", "content": "word " * 9000}]
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            smollm2.openai().chat.completions.create(model="zephyr-7b-beta", messages=messages, stream=stream)
        assert caught.value.code == "context_length_exceeded"
        assert caught.value.param == "messages"


def test_an_unknown_model_is_not_found(smollm2: Gateway) -> None:
    """The true name and the alias are served, and nothing else."""
    client = smollm2.openai()
    true_name = client.models.list().data[0].id
    assert client.models.retrieve(true_name).id == true_name
    assert client.models.retrieve("zephyr-7b-beta").id == true_name
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-4o", messages=QUESTION)
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
def test_a_client_that_leaves_stops_the_engine_within_a_second(
    smollm2: Gateway, smollm2_engine: RealEngine, smollm2_log: Exchanges, stream: bool
) -> None:
    """vLLM's own metrics say when it has stopped working; the log says that the client left."""
    before = smollm2_log.count()
    one = smollm2.send(chat("Tell me a long story.", max_tokens=1500, temperature=1, stream=stream))
    _wait(lambda: smollm2_engine.metric("vllm:num_requests_running") == 1, 10)
    time.sleep(0.5)
    one.close()
    left = time.monotonic()
    _wait(lambda: smollm2_engine.metric("vllm:num_requests_running") == 0, 3)
    assert time.monotonic() - left < 1.0
    _wait(lambda: smollm2_log.count() == before + 1, 5)
    row = smollm2_log.sql("SELECT outcome, answer FROM exchanges ORDER BY id DESC LIMIT 1")[0]
    assert row["outcome"] == "client_gone"
    if stream:
        assert json.loads(row["answer"])[0]["content"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/zephyr/raw", {"user_message": "Hello", "max_new_tokens": 8}),
        ("/zephyr/python", {"user_message": "How do I open a file?", "max_new_tokens": 16}),
        (
            "/zephyr/system-message",
            {"user_message": "Hi", "system_message": "Be brief.", "max_new_tokens": 8},
        ),
        ("/zephyr/code-doc", {"code": "def add(a,b):\n  return a+b", "max_new_tokens": 24}),
        (
            "/zephyr/structured-code-doc",
            {"user_message": "def add(a, b): return a + b", "max_new_tokens": 60},
        ),
    ],
)
def test_each_documented_endpoint_answers(
    smollm2: Gateway, smollm2_log: Exchanges, path: str, body: dict[str, object]
) -> None:
    """Every call of the original's README has its text in `response`, and its exchange in the log."""
    answer = smollm2.post(path, body).json
    assert answer["response"].strip()
    exchange = smollm2_log.get(answer["id"])
    assert exchange["endpoint"] == path
    assert exchange["door"] == "zephyr"


def test_raw_gives_back_what_the_model_saw(smollm2: Gateway) -> None:
    """For this model the markers are its own."""
    answer = smollm2.post("/zephyr/raw", {"user_message": "Hello there", "max_new_tokens": 4}).json
    assert "<|im_start|>user\nHello there<|im_end|>" in answer["response"]


def test_the_websocket_tells_what_the_engine_does(smollm2: Gateway) -> None:
    """Without a GPU the list is empty and says why, and the engine's state is there."""
    address = smollm2.url.replace("http", "ws") + "/zephyr/ws/gpu-stats"
    story = chat("Tell me a long story.", max_tokens=80)
    answering = threading.Thread(target=smollm2.post, args=("/v1/chat/completions", story))
    with websockets.sync.client.connect(address) as socket:
        answering.start()
        frames = [json.loads(socket.recv(timeout=10)) for _ in range(4)]
    answering.join()
    assert frames[0]["gpus"] == []
    assert frames[0]["gpu_problem"]
    assert any(frame["engine"]["running"] for frame in frames)
    assert any(frame["engine"]["generation_tokens_per_second"] for frame in frames)


def _wait(true: Any, seconds: float) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it did not come in time"
        time.sleep(0.02)
