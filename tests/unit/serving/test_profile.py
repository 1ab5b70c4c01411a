"""The profile: hardware, settings and model in, vLLM's arguments and environment out."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from serving.engine.hardware import Gpu, Hardware
from serving.engine.models import SMOLLM2, ZEPHYR, Model
from serving.engine.profile import GIB, Profile, plan
from serving.errors import CannotRun
from serving.settings import Settings

FOLDER = Path("/models/it")
CPU = Hardware(cores=8, flags=frozenset({"avx2"}), memory_bytes=64 * GIB, memory_free_bytes=60 * GIB)
HOPPER = replace(CPU, gpus=(Gpu(name="NVIDIA H100", memory_mib=81559, compute_capability=(9, 0)),))
TURING = replace(CPU, gpus=(Gpu(name="NVIDIA T4", memory_mib=15360, compute_capability=(7, 5)),))
OTHER = Model(name="mine", source="/models/it", origin="folder")


def planned(machine: Hardware, model: Model, **values: object) -> Profile:
    return plan(machine, Settings(**values), model, FOLDER)  # type: ignore[arg-type]  # the rest has defaults


def value(profile: Profile, flag: str) -> str:
    return profile.arguments[profile.arguments.index(flag) + 1]


@pytest.mark.parametrize(
    ("machine", "model", "dtype"),
    [
        (HOPPER, ZEPHYR, "bfloat16"),
        (TURING, SMOLLM2, "float16"),
        (CPU, SMOLLM2, "float32"),
        (CPU, OTHER, "float32"),
    ],
)
def test_precision_follows_the_hardware(machine: Hardware, model: Model, dtype: str) -> None:
    """Never bfloat16 where it was seen to answer wrongly."""
    profile = planned(machine, model)
    assert (profile.dtype, value(profile, "--dtype")) == (dtype, dtype)


def test_zephyr_on_a_gpu_keeps_answers_in_its_prefix_cache() -> None:
    """Without its sliding window, which changes nothing below 4096 tokens."""
    profile = planned(HOPPER, ZEPHYR)
    assert "--disable-sliding-window" in profile.arguments
    assert value(profile, "--max-model-len") == "4096"
    assert value(profile, "--gpu-memory-utilization") == "0.92"
    assert "--kv-cache-memory-bytes" not in profile.arguments


def test_sampling_defaults_are_the_cards() -> None:
    """Zephyr's own files lack them."""
    zephyr = json.loads(value(planned(HOPPER, ZEPHYR), "--override-generation-config"))
    assert zephyr == {"temperature": 0.7, "top_k": 50, "top_p": 0.95}
    small = json.loads(value(planned(CPU, SMOLLM2), "--override-generation-config"))
    assert small == {"temperature": 0.2, "top_p": 0.9}
    assert "--override-generation-config" not in planned(CPU, OTHER).arguments


def test_tools_are_offered_where_the_model_can_call_them() -> None:
    """Zephyr's template does not know tools."""
    assert value(planned(CPU, SMOLLM2), "--tool-call-parser") == "hermes"
    assert "--enable-auto-tool-choice" not in planned(HOPPER, ZEPHYR).arguments


@pytest.mark.parametrize(
    ("machine", "values", "at_once"),
    [
        (CPU, {}, "18"),
        (HOPPER, {}, "288"),
        (CPU, {"engine_concurrency": 4, "engine_spare": 0}, "4"),
    ],
)
def test_the_engine_runs_what_the_gateway_sends(
    machine: Hardware, values: dict[str, object], at_once: str
) -> None:
    """Its usual places and the spare ones: what it queues by itself, nobody shares out. Memory goes by priority."""
    profile = planned(machine, SMOLLM2, **values)
    assert value(profile, "--max-num-seqs") == at_once
    assert value(profile, "--scheduling-policy") == "priority"


def test_answers_say_which_model_made_them() -> None:
    """The fingerprint names model, revision and precision."""
    assert value(planned(HOPPER, ZEPHYR), "--fingerprint-value") == "zephyr-7b-beta@892b3d7a7b1c+bfloat16"
    assert value(planned(CPU, OTHER), "--fingerprint-value") == "mine+float32"


@pytest.mark.parametrize(("free_gib", "cache_gib"), [(60, 2.0), (5, 1.25)])
def test_cache_without_a_gpu_leaves_memory_to_others(free_gib: int, cache_gib: float) -> None:
    """vLLM by itself would take most of the machine."""
    profile = planned(replace(CPU, memory_free_bytes=free_gib * GIB), OTHER)
    assert value(profile, "--kv-cache-memory-bytes") == str(int(cache_gib * GIB))


def test_settings_win() -> None:
    """What was asked for stands; more arguments come last, where vLLM takes them over earlier ones."""
    profile = planned(
        HOPPER,
        ZEPHYR,
        engine_max_model_len=1024,
        engine_kv_cache_gib=4,
        engine_max_queued=7,
        engine_extra_args=("--dtype", "float32"),
    )
    assert value(profile, "--max-model-len") == "1024"
    assert value(profile, "--kv-cache-memory-bytes") == str(4 * GIB)
    assert value(profile, "--max-num-queued-reqs") == "7"
    assert profile.arguments[-2:] == ("--dtype", "float32")


def test_model_that_does_not_fit_the_memory_is_refused_before_it_is_started() -> None:
    """The message says how much is needed, how much there is, and what to do."""
    with pytest.raises(CannotRun, match=r"needs about 32 GiB of memory in float32, 20\.0 are free"):
        planned(replace(CPU, memory_free_bytes=20 * GIB), ZEPHYR)


def test_engine_stays_off_the_network() -> None:
    """No usage statistics, no look at the hub."""
    environment = planned(CPU, SMOLLM2).environment
    assert (
        environment["VLLM_NO_USAGE_STATS"]
        == environment["DO_NOT_TRACK"]
        == environment["HF_HUB_OFFLINE"]
        == "1"
    )
    assert "--disable-fastapi-docs" in planned(CPU, SMOLLM2).arguments


def test_engine_listens_to_this_machine_alone() -> None:
    """PyTorch's Gloo listens at the address of the machine's name, and vLLM at the one towards the internet, unless told."""
    for machine in (CPU, HOPPER):
        environment = planned(machine, SMOLLM2).environment
        assert (environment["GLOO_SOCKET_IFNAME"], environment["VLLM_HOST_IP"]) == ("lo", "127.0.0.1")


def test_tcmalloc_is_used_where_the_machine_has_it() -> None:
    """And not asked for where it has not."""
    library = Path("/usr/lib/libtcmalloc_minimal.so.4")
    assert planned(replace(CPU, tcmalloc=library), SMOLLM2).environment["LD_PRELOAD"] == str(library)
    assert "LD_PRELOAD" not in planned(CPU, SMOLLM2).environment


def test_the_engine_traces_what_the_gateway_asks_it_to() -> None:
    """Only where a collector is named, and never by itself."""
    assert "--otlp-traces-endpoint" not in planned(CPU, SMOLLM2).arguments
    profile = planned(CPU, SMOLLM2, traces_endpoint="http://collector:4318/v1/traces")
    assert value(profile, "--otlp-traces-endpoint") == "http://collector:4318/v1/traces"
    assert profile.environment["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] == "http/protobuf"
    assert profile.environment["OTEL_TRACES_SAMPLER"] == "parentbased_always_off"


def test_requests_are_named_in_its_log_and_what_they_ask_is_not() -> None:
    """By our own middleware, which is all that vLLM's Python finds of ours."""
    profile = planned(CPU, SMOLLM2)
    module, _, name = value(profile, "--middleware").partition(".")
    (file,) = [one for one in Path(profile.environment["PYTHONPATH"]).iterdir() if one.name != "__pycache__"]
    assert (file.stem, f"class {name}:" in file.read_text()) == (module, True)
    assert "--enable-log-requests" not in profile.arguments
