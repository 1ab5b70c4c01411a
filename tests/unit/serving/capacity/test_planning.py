"""The plan: how many engines of how many GPUs a load takes, and how they are set up."""

import json
import re
import shlex
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from adapters.settings import AccessSettings, ServerSettings
from docs.write_settings import gateway_variables, host_variables
from serving.capacity import report
from serving.capacity.gpus import SHEETS, DataSheet, sheet_of
from serving.capacity.planning import MOST_AT_ONCE, Load, Plan, plan
from serving.capacity.shapes import SMOLLM2_SHAPE, ZEPHYR_SHAPE, Shape
from serving.cli import app
from serving.engine.profile import GPU_CONCURRENCY
from serving.errors import CannotPlan
from serving.settings import Settings

RUN = CliRunner()
L40S, L4, H200 = (sheet_of(name) for name in ("L40S", "L4", "H200"))
SHORT = {"prompt": 1000, "answer": 300}
LLAMA_70B = Shape(
    name="Llama-3.1-70B",
    layers=80,
    hidden=8192,
    intermediate=28672,
    heads=64,
    kv_heads=8,
    head_dim=128,
    vocabulary=128_256,
    context=131_072,
)


def planned(gpu: DataSheet | float = L40S, shape: Shape = ZEPHYR_SHAPE, **load: float) -> Plan:
    return plan(shape, gpu, Load(**(SHORT | load)))  # type: ignore[arg-type]


def test_users_are_spread_over_as_many_engines_as_hold_them() -> None:
    """158 sequences of 1,300 tokens fit: 158 users take one engine, 159 two."""
    assert planned().most_at_once == 158
    assert [(p.engines, p.at_once) for p in (planned(users=158), planned(users=159), planned(users=400))] == [
        (1, 158),
        (2, 80),
        (3, 134),
    ]


def test_requests_a_second_take_as_many_engines_as_keep_up() -> None:
    """At a share of the bound, with as few open as that takes; a larger share takes fewer engines."""
    made = planned(requests=20)
    assert made.bounds is not None
    assert made.requests is not None
    most = made.bounds.requests(made.most_at_once, 1000, 300) / 2
    assert made.engines == -(-20 // most) == 5
    assert 20 <= made.requests < 20 * 1.05
    assert made.bounds.requests(made.at_once - 1, 1000, 300) / 2 * 5 < 20
    assert plan(ZEPHYR_SHAPE, L40S, Load(**SHORT, requests=20), share=1.0).engines < 5


def test_open_time_is_littles_law() -> None:
    """As many are open as come in the time that each is."""
    made = planned(users=300)
    assert made.requests is not None
    assert made.open_seconds == pytest.approx(300 / made.requests)


def test_model_that_does_not_fit_one_gpu_is_shared_out() -> None:
    """141.1 GB of weights: two of 80 GB hold them and little else, eight of 16 do not."""
    assert [planned(gpu, LLAMA_70B).gpus for gpu in (sheet_of("H100"), L40S)] == [2, 4]
    assert planned(10.0).gpus == 4
    with pytest.raises(CannotPlan, match=r"^--gpu, --gpu-memory: .* do not fit on 8 GPUs of 16\.0 GiB"):
        planned(16.0, LLAMA_70B)


def test_gpus_that_the_heads_do_not_divide_by_are_passed_over() -> None:
    """SmolLM2 has nine heads."""
    with pytest.raises(CannotPlan, match="do not fit on 1 GPUs"):
        planned(2.0, SMOLLM2_SHAPE)
    odd = replace(ZEPHYR_SHAPE, heads=30, kv_heads=10)  # two divide it; four, which would hold it, do not
    with pytest.raises(CannotPlan, match="do not fit on 2 GPUs"):
        planned(8.0, odd)


@pytest.mark.parametrize(
    ("load", "gpu", "said"),
    [
        ({"prompt": 4000, "answer": 97}, L4, "^--prompt-tokens, --answer-tokens: 4,097 .* takes 4,096"),
        ({"users": 3, "requests": 3.0}, L4, "^--users, --requests-per-second"),
        ({"requests": 3.0}, 24.0, "^--requests-per-second: needs --gpu"),
    ],
)
def test_load_that_does_not_go_is_named(load: dict[str, float], gpu: DataSheet | float, said: str) -> None:
    """By the options that bring it about."""
    with pytest.raises(CannotPlan, match=said):
        planned(gpu, ZEPHYR_SHAPE, **load)


def test_places_are_ours_where_they_fit() -> None:
    """Else as many as fit with an eighth more; more than ours where the load needs them and there is room."""
    assert planned(H200).places == (GPU_CONCURRENCY, GPU_CONCURRENCY // 8)
    assert sum(planned(L4).places) <= planned(L4).most_at_once == 29
    assert planned(users=158).places == (158, 0)
    assert planned(H200, users=600).places == (600, 75)
    small = planned(H200, SMOLLM2_SHAPE, users=5000)
    assert small.most_at_once == MOST_AT_ONCE
    assert sum(small.places) == MOST_AT_ONCE


@pytest.mark.parametrize("gpu", [*SHEETS, 8.0, 10.0])
@pytest.mark.parametrize("load", [{}, {"users": 3000}, {"prompt": 3000, "answer": 1000}])
def test_settings_are_settings_that_the_host_takes(gpu: DataSheet | float, load: dict[str, float]) -> None:
    """Each exists, and is read without a complaint; all places are at engines that hold them."""
    made = planned(gpu, ZEPHYR_SHAPE, **load)
    for values in report.settings(made, "zephyr-7b-beta").values():
        assert set(values) <= gateway_variables() | host_variables()
        of_host = {name: value for name, value in values.items() if name in host_variables()}
        with pytest.MonkeyPatch.context() as environment:
            for name, value in of_host.items():
                environment.setenv(name, value)
            Settings.read()
    assert sum(made.places) <= made.most_at_once
    assert made.longest <= made.memory.tokens


def test_memory_that_holds_no_longest_sequence_shortens_it() -> None:
    """vLLM would not start."""
    tight = planned(sheet_of("A100-80"), LLAMA_70B)
    assert tight.longest == tight.memory.tokens < LLAMA_70B.context
    values = report.settings(tight, "m")["everything"]
    assert values["ZEPHYR_ENGINE_MAX_MODEL_LEN"] == str(tight.longest)
    assert values["ZEPHYR_ENGINE_EXTRA_ARGS"] == "--tensor-parallel-size 2"
    assert set(report.settings(planned(), "m")["everything"]) == {
        "ZEPHYR_MODEL",
        "ZEPHYR_ENGINE_CONCURRENCY",
        "ZEPHYR_ENGINE_SPARE",
    }


def test_gateway_that_would_refuse_the_load_is_told_of_it() -> None:
    """Its own bounds are those that are assumed."""
    open_at_once = AccessSettings.model_fields["max_open_generations"].default
    connections = ServerSettings.model_fields["max_connections"].default
    assert tuple(report.GATEWAY_BOUNDS.values()) == (open_at_once, connections)
    gateway = report.settings(planned(users=5000), "m")["the gateway"]
    assert (gateway["ZEPHYR_MAX_OPEN_GENERATIONS"], gateway["ZEPHYR_MAX_CONNECTIONS"]) == ("5024", "5024")
    assert "ZEPHYR_MAX_OPEN_GENERATIONS" not in report.settings(planned(users=200), "m")["the gateway"]


def test_text_and_json_say_the_same() -> None:
    """And the bounds are called what they are."""
    arguments = shlex.split("plan --gpu l40s --users 300 --prompt-tokens 1000 --answer-tokens 300")
    text = RUN.invoke(app, arguments).stdout
    found = json.loads(RUN.invoke(app, [*arguments, "--json"]).stdout)
    assert "no promises" in text
    assert f"{found['each_engine']['kv_cache_tokens']:,} tokens of 131,072 bytes" in text
    assert f"{found['planned']['requests_per_second']:,.1f}" in text
    assert (found["engines"], found["gpus"], found["gpus_per_engine"]) == (2, 2, 1)
    assert found["settings"]["the gateway"]["ZEPHYR_ENGINE_CONCURRENCY"] == "300"
    assert max(len(line) for line in text.splitlines()) <= 100


def test_without_a_data_sheet_nothing_is_said_of_speed() -> None:
    """In neither form."""
    text = RUN.invoke(app, ["plan", "--gpu-memory", "24"]).stdout
    assert "tokens/s" not in text
    assert "requests/s" not in text
    found = json.loads(RUN.invoke(app, ["plan", "--gpu-memory", "24", "--json"]).stdout)
    assert found["bounds_of_each_engine"] is None
    assert found["planned"]["requests_per_second"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        "--gpu L4 --users 0",
        "--gpu L4 --users 99999999",
        "--gpu-memory nan",
        "--gpu-memory inf",
        "--gpu L4 --requests-per-second inf",
        "--gpu L4 --prompt-tokens 0",
        "--gpu L4 --share 2",
        "--gpu L4 --model nobody/nothing",
        "--gpu T800",
        "--users 3",
    ],
)
def test_bad_input_names_the_option(arguments: str) -> None:
    """And nothing is planned."""
    done = RUN.invoke(app, ["plan", *arguments.split()])
    assert done.exit_code != 0
    assert not done.stdout
    option = re.findall(r"--[\w-]+", arguments)[-1] if arguments != "--users 3" else "--gpu"
    assert option in done.stderr
