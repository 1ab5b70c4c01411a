"""An unmodified OpenAI SDK client works against the gateway, sync and async."""

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.acceptance.conftest import NewGateway
from tests.acceptance.gateway import Gateway
from tests.fakes.answers import ToolCall
from tests.fakes.engine import Script, ScriptedEngine

MODEL = "zephyr-7b-beta"
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SCHEMA: Any = {
    "type": "json_schema",
    "json_schema": {"name": "city", "schema": {"type": "object", "properties": {"name": {"type": "string"}}}},
}


def said(text: str = "hello") -> Any:
    return [{"role": "user", "content": text}]


def test_plain_answer(gateway: Gateway, engine: ScriptedEngine) -> None:
    """A plain answer has the text, the usage and the true name of the model."""
    with gateway.openai() as client:
        answer = client.chat.completions.create(model=MODEL, messages=said())
    assert answer.choices[0].message.content == "Hello, world."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "scripted-model"
    assert answer.usage and answer.usage.completion_tokens == 4
    assert engine.one().json["model"] == "scripted-model"
    assert engine.one().json["messages"] == said()


def test_stream(gateway: Gateway, engine: ScriptedEngine) -> None:
    """A stream has the pieces as the engine made them, and no usage that nobody asked for."""
    with gateway.openai() as client:
        chunks = list(client.chat.completions.create(model=MODEL, messages=said(), stream=True))
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "Hello", ", ", "world", ".", ""]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)
    assert engine.one().wait() == "completed"


def test_stream_with_usage(gateway: Gateway, engine: ScriptedEngine) -> None:
    """The usage comes last when it is asked for."""
    with gateway.openai() as client:
        *_, last = client.chat.completions.create(
            model=MODEL, messages=said(), stream=True, stream_options={"include_usage": True}
        )
    assert last.choices == []
    assert last.usage and last.usage.completion_tokens == 4


def test_several_choices(gateway: Gateway, engine: ScriptedEngine) -> None:
    """Every choice of `n` comes, plain and streamed."""
    with gateway.openai() as client:
        plain = client.chat.completions.create(model=MODEL, messages=said(), n=3)
        streamed = list(client.chat.completions.create(model=MODEL, messages=said(), n=3, stream=True))
    assert [choice.index for choice in plain.choices] == [0, 1, 2]
    texts = {0: "", 1: "", 2: ""}
    for chunk in streamed:
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert set(texts.values()) == {"Hello, world."}
    assert [seen.json["n"] for seen in engine.seen] == [3, 3]


def test_tools(gateway: Gateway, engine: ScriptedEngine) -> None:
    """Tools reach the engine, and its calls the client."""
    engine.script = Script(tool_calls=(ToolCall(name="weather", arguments='{"city": "Bern"}'),))
    with gateway.openai() as client:
        answer = client.chat.completions.create(
            model=MODEL, messages=said(), tools=[WEATHER], tool_choice="auto", parallel_tool_calls=False
        )
    calls: Any = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls"
    assert (calls[0].function.name, calls[0].function.arguments) == ("weather", '{"city": "Bern"}')
    assert engine.one().json["tools"] == [WEATHER]
    assert engine.one().json["tool_choice"] == "auto"
    assert engine.one().json["parallel_tool_calls"] is False


def test_tools_in_a_stream(gateway: Gateway, engine: ScriptedEngine) -> None:
    """A streamed tool call can be put together again."""
    engine.script = Script(tool_calls=(ToolCall(name="weather", arguments='{"city": "Bern"}'),))
    with gateway.openai() as client:
        chunks = list(
            client.chat.completions.create(model=MODEL, messages=said(), tools=[WEATHER], stream=True)
        )
    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert deltas[0].function and deltas[0].function.name == "weather"
    assert "".join(d.function.arguments or "" for d in deltas if d.function) == '{"city": "Bern"}'


def test_history_with_tool_results(gateway: Gateway, engine: ScriptedEngine) -> None:
    """A conversation that holds tool calls and their results goes back in as the SDK gave it."""
    engine.script = Script(tool_calls=(ToolCall(name="weather", arguments='{"city": "Bern"}'),))
    with gateway.openai() as client:
        first = client.chat.completions.create(model=MODEL, messages=said(), tools=[WEATHER])
        message: Any = first.choices[0].message
        engine.script = Script()
        result: Any = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}
        client.chat.completions.create(model=MODEL, messages=[*said(), message, result], tools=[WEATHER])
    sent: Any = engine.seen[-1].json["messages"]
    assert [turn["role"] for turn in sent] == ["user", "assistant", "tool"]
    assert sent[1]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Bern"}'}
    assert sent[2]["tool_call_id"] == message.tool_calls[0].id


def test_response_format(gateway: Gateway, engine: ScriptedEngine) -> None:
    """A wanted form of the answer reaches the engine."""
    with gateway.openai() as client:
        client.chat.completions.create(model=MODEL, messages=said(), response_format=SCHEMA)
        client.chat.completions.create(model=MODEL, messages=said(), response_format={"type": "json_object"})
    assert [seen.json["response_format"] for seen in engine.seen] == [SCHEMA, {"type": "json_object"}]


def test_logprobs(gateway: Gateway, engine: ScriptedEngine) -> None:
    """Log probabilities come as the engine has them, plain and streamed."""
    with gateway.openai() as client:
        plain = client.chat.completions.create(model=MODEL, messages=said(), logprobs=True, top_logprobs=2)
        streamed = list(
            client.chat.completions.create(model=MODEL, messages=said(), logprobs=True, stream=True)
        )
    assert plain.choices[0].logprobs and plain.choices[0].logprobs.content
    assert [token.token for token in plain.choices[0].logprobs.content] == ["Hello", ", ", "world", "."]
    assert streamed[1].choices[0].logprobs
    assert engine.seen[0].json["top_logprobs"] == 2


def test_sampling_fields_reach_the_engine(gateway: Gateway, engine: ScriptedEngine) -> None:
    """OpenAI's own sampling fields and vLLM's safe ones reach the engine with their values."""
    own: Any = {"temperature": 0.5, "top_p": 0.9, "max_tokens": 7, "seed": 1, "stop": ["\n"]}
    own |= {"presence_penalty": 0.1, "frequency_penalty": -0.1}
    extra = {"top_k": 40, "min_p": 0.05, "repetition_penalty": 1.1}
    with gateway.openai() as client:
        client.chat.completions.create(model=MODEL, messages=said(), extra_body=extra, **own)
    sent = engine.one().json
    assert {name: sent[name] for name in own | extra} == own | extra


def test_metadata_is_accepted_and_kept_from_the_engine(gateway: Gateway, engine: ScriptedEngine) -> None:
    """What only the log needs is taken and not passed on."""
    with gateway.openai() as client:
        client.chat.completions.create(
            model=MODEL, messages=said(), metadata={"ticket": "17"}, user="u", store=True
        )
    assert not {"metadata", "user", "store"} & set(engine.one().json)


def test_completions(gateway: Gateway, engine: ScriptedEngine) -> None:
    """The older completions endpoint works, plain and streamed."""
    with gateway.openai() as client:
        plain = client.completions.create(model=MODEL, prompt="Once", max_tokens=5)
        streamed = list(client.completions.create(model=MODEL, prompt="Once", stream=True))
    assert plain.choices[0].text == "Hello, world."
    assert "".join(chunk.choices[0].text for chunk in streamed) == "Hello, world."
    assert [seen.path for seen in engine.seen] == ["/v1/completions"] * 2
    assert engine.seen[0].json["prompt"] == "Once"


def test_models(gateway: Gateway, engine: ScriptedEngine) -> None:
    """The list of models names what is served, and nothing of the engine's file system."""
    with gateway.openai() as client:
        listed = client.models.with_raw_response.list()
    assert "scripted-model" in [model.id for model in listed.parse()]
    assert "/secret" not in listed.http_response.text


@pytest.mark.parametrize("name", ["scripted-model", MODEL, "scripted%2Dmodel"])
def test_one_model(gateway: Gateway, name: str) -> None:
    """A model is found by its name, by the alias, and when the name is percent-encoded."""
    answer = gateway.get(f"/v1/models/{name}")
    assert answer.status == 200
    assert answer.json["object"] == "model"
    assert answer.json["id"] == ("scripted-model" if "scripted" in name else answer.json["id"])


def test_engine_on_a_unix_socket_with_a_model_of_an_organisation(
    new_gateway: NewGateway, tmp_path: Path
) -> None:
    """The SDK encodes the slash in such a name, and the engine may listen on a socket file."""
    with (
        ScriptedEngine(tmp_path / "engine.sock", model="org/name") as engine,
        new_gateway(ENGINE_URL=engine.url) as gateway,
        gateway.openai() as client,
    ):
        assert [model.id for model in client.models.list()] == ["org/name"]
        assert client.models.retrieve("org/name").id == "org/name"
        for name in ("org/name", MODEL):
            for chunk in client.chat.completions.create(model=name, messages=said(), stream=True):
                assert chunk.model == "org/name"
        engine.script = Script(stop_after=2, ending="close")
        with (
            client.chat.completions.create(model=MODEL, messages=said(), stream=True) as stream,
            pytest.raises(openai.APIError),
        ):
            list(stream)


def test_unknown_model(gateway: Gateway, engine: ScriptedEngine) -> None:
    """A model that is not served is a 404 of OpenAI's kind, when asked about and when asked for."""
    with gateway.openai() as client:
        for ask in (
            lambda: client.models.retrieve("gpt-4"),
            lambda: client.chat.completions.create(model="gpt-4", messages=said()),
        ):
            with pytest.raises(openai.NotFoundError) as caught:
                ask()
            assert caught.value.code == "model_not_found"
            assert "scripted-model" not in caught.value.message
    assert engine.seen == []


def test_sdk_sees_the_request_id(gateway: Gateway, engine: ScriptedEngine) -> None:
    """The SDK's own request id is there, on answers and on errors."""
    with gateway.openai() as client:
        answer = client.chat.completions.create(model=MODEL, messages=said())
        assert answer._request_id
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model=MODEL, messages=[])
    assert caught.value.request_id


async def test_async_client(gateway: Gateway, engine: ScriptedEngine) -> None:
    """Many streams and plain answers at once, each with its own text."""
    engine.scripts = {f"ask {n}": Script(pieces=(f"answer {n}",) * 5, pause=0.01) for n in range(24)}

    async def plain(client: openai.AsyncOpenAI, n: int) -> str:
        answer = await client.chat.completions.create(model=MODEL, messages=said(f"ask {n}"))
        return answer.choices[0].message.content or ""

    async def streamed(client: openai.AsyncOpenAI, n: int) -> str:
        text = ""
        async for chunk in await client.chat.completions.create(
            model=MODEL, messages=said(f"ask {n}"), stream=True
        ):
            text += chunk.choices[0].delta.content or ""
        return text

    async with openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key="none", max_retries=0) as client:
        asked = [(plain if n % 2 else streamed)(client, n) for n in range(24)]
        assert await asyncio.gather(*asked) == [f"answer {n}" * 5 for n in range(24)]


def test_leaving_a_stream_early(gateway: Gateway, engine: ScriptedEngine) -> None:
    """Closing the SDK's stream stops the engine's work within a second."""
    engine.script = Script(pieces=("word ",) * 1000, pause=0.05)
    with gateway.openai() as client:
        stream = client.chat.completions.create(model=MODEL, messages=said(), stream=True)
        next(iter(stream))
        stream.close()
    assert engine.one().wait(1.0) == "aborted"
