"""How vLLM is started: hardware, settings and model in; arguments, environment and the reasons out. Pure."""

import json
from dataclasses import dataclass
from pathlib import Path

from serving.engine.hardware import Hardware
from serving.engine.models import Model
from serving.errors import CannotRun
from serving.settings import Settings

GIB = 2**30
CPU_KV_CACHE_GIB = 2.0
CPU_CONCURRENCY, GPU_CONCURRENCY = 16, 256
GPU_MEMORY_UTILIZATION = 0.92
SPARE_SHARE = 8  # one place more for so many
CPU_WORKING_GIB = 3.0  # vLLM's three processes, beside weights and KV cache
INSIDE = Path(__file__).parent / "inside"  # what vLLM's own Python finds of ours
ENTRY = ("-m", "vllm.entrypoints.launchers.api_server.entry")
BFLOAT16_CAPABILITY = (8, 0)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How to start vLLM's server, without its socket; see `launch`."""

    dtype: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Places:
    """How many generations the gateway has at the engine at once."""

    usual: int
    spare: int
    """For tenants that have nothing there."""

    @property
    def all(self) -> int:
        """What the engine must be able to run."""
        return self.usual + self.spare

    def times(self, engines: int) -> "Places":
        """Those of so many engines together."""
        return Places(usual=self.usual * engines, spare=self.spare * engines)

    @property
    def environment(self) -> dict[str, str]:
        """The same for the gateway."""
        return {"ZEPHYR_ENGINE_CONCURRENCY": str(self.usual), "ZEPHYR_ENGINE_SPARE": str(self.spare)}


def plan(hardware: Hardware, settings: Settings, model: Model, folder: Path) -> Profile:
    """Choose the arguments for a model whose files are in `folder`.

    Raises:
        CannotRun: the model does not fit into the memory of this machine.
    """
    on_gpu = bool(hardware.gpus)
    dtype, why = choose_dtype(hardware, model)
    if not on_gpu:
        refuse_too_little_memory(hardware, model, dtype, kv_cache_gib(hardware, settings))
    arguments = common(settings, model, folder, dtype)
    arguments += ["--max-num-seqs", str(places(hardware, settings).all)]
    arguments += gpu_arguments(settings, model) if on_gpu else cpu_arguments(hardware, settings)
    return Profile(
        dtype=dtype,
        arguments=(*arguments, *settings.engine_extra_args),
        environment=common_environment(settings) | ({} if on_gpu else cpu_environment(hardware)),
        reasons=(f"{dtype}: {why}",),
    )


def places(hardware: Hardware, settings: Settings) -> Places:
    """As many as suit the hardware, so that the engine is busy and has hardly a queue of its own."""
    usual = settings.engine_concurrency or (GPU_CONCURRENCY if hardware.gpus else CPU_CONCURRENCY)
    spare = settings.engine_spare
    return Places(usual=usual, spare=usual // SPARE_SHARE if spare is None else spare)


def choose_dtype(hardware: Hardware, model: Model) -> tuple[str, str]:
    if hardware.gpus:
        if all(gpu.compute_capability >= BFLOAT16_CAPABILITY for gpu in hardware.gpus):
            return "bfloat16", "the GPU computes in it"
        return "float16", "the GPU is older than bfloat16"
    return "float32", "on a processor it answers rightly, and compiled bfloat16 was seen not to"


def common(settings: Settings, model: Model, folder: Path, dtype: str) -> list[str]:
    arguments = ["--model", str(folder), "--served-model-name", model.name, "--dtype", dtype]
    arguments += ["--scheduling-policy", "priority", "--max-num-queued-reqs", str(settings.engine_max_queued)]
    arguments += [
        "--max-logprobs",
        "20",
        "--enable-prompt-tokens-details",
        "--enable-tokenizer-info-endpoint",
    ]
    arguments += ["--disable-fastapi-docs", "--disable-uvicorn-access-log"]
    arguments += ["--middleware", "zephyr_requests.RequestLines"]
    if settings.traces_endpoint is not None:
        arguments += ["--otlp-traces-endpoint", settings.traces_endpoint]
    arguments += ["--fingerprint-mode", "custom", "--fingerprint-value", fingerprint(model, dtype)]
    context = settings.engine_max_model_len or model.context
    if context is not None:
        arguments += ["--max-model-len", str(context)]
    if model.template is not None:
        arguments += ["--chat-template", str(model.template)]
    if model.sampling:
        arguments += [
            "--generation-config",
            "vllm",
            "--override-generation-config",
            json.dumps(model.sampling),
        ]
    if model.tool_parser is not None:
        arguments += ["--enable-auto-tool-choice", "--tool-call-parser", model.tool_parser]
    return arguments


def fingerprint(model: Model, dtype: str) -> str:
    """What answered, for `system_fingerprint` and so for the log: model, revision, precision."""
    revision = "" if model.revision is None else f"@{model.revision[:12]}"
    return f"{model.name}{revision}+{dtype}"


def gpu_arguments(settings: Settings, model: Model) -> list[str]:
    arguments = ["--gpu-memory-utilization", str(GPU_MEMORY_UTILIZATION)]
    if model.sliding_window:
        arguments += [
            "--disable-sliding-window"
        ]  # the same below 4096 tokens, and answers stay in the prefix cache
    if settings.engine_kv_cache_gib is not None:
        arguments += ["--kv-cache-memory-bytes", str(int(settings.engine_kv_cache_gib * GIB))]
    return arguments


def cpu_arguments(hardware: Hardware, settings: Settings) -> list[str]:
    return ["--kv-cache-memory-bytes", str(int(kv_cache_gib(hardware, settings) * GIB)), "--enforce-eager"]


def kv_cache_gib(hardware: Hardware, settings: Settings) -> float:
    """What was asked for; otherwise 2 GiB, or a quarter of the free memory where that is less."""
    return settings.engine_kv_cache_gib or min(CPU_KV_CACHE_GIB, hardware.memory_free_bytes / 4 / GIB)


def refuse_too_little_memory(hardware: Hardware, model: Model, dtype: str, cache_gib: float) -> None:
    if model.parameters is None:
        return
    needed = model.parameters * (4 if dtype == "float32" else 2) / GIB + cache_gib + CPU_WORKING_GIB
    free = hardware.memory_free_bytes / GIB
    if free < needed:
        raise CannotRun(
            f"{model.name} needs about {needed:.0f} GiB of memory in {dtype}, {free:.1f} are free. "
            "Choose a smaller ZEPHYR_MODEL or ZEPHYR_ENGINE_KV_CACHE_GIB, or set ENGINE_URL to an engine elsewhere."
        )


def common_environment(settings: Settings) -> dict[str, str]:
    return (
        tracing_environment(settings)
        | {
            "DO_NOT_TRACK": "1",
            "GLOO_SOCKET_IFNAME": "lo",  # its workers' group would listen wherever this machine's name leads
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(INSIDE),
            "VLLM_CACHE_ROOT": str(settings.home / "cache" / "vllm"),
            "VLLM_HOST_IP": "127.0.0.1",  # or it would take the address that leads to the internet
            "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "75",  # longer than the gateway keeps a connection, so that it never races
            "VLLM_NO_USAGE_STATS": "1",
        }
    )


def tracing_environment(settings: Settings) -> dict[str, str]:
    """How vLLM traces: as the gateway does, and only what the gateway asks it to."""
    if settings.traces_endpoint is None:
        return {}
    return {
        "OTEL_BSP_SCHEDULE_DELAY": "1000",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": "zephyr-engine",
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
    }


def cpu_environment(hardware: Hardware) -> dict[str, str]:
    return {} if hardware.tcmalloc is None else {"LD_PRELOAD": str(hardware.tcmalloc)}
