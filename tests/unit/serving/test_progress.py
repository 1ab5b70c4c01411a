"""What vLLM is doing, read from lines that it printed."""

import pytest

from serving.engine.progress import advise, describe


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "(APIServer pid=1) INFO 11-22 16:41:49 [api_utils.py:286] non-default args: {'a': 1}",
            "starting vLLM",
        ),
        (
            "(EngineCore pid=2) INFO 11-22 16:42:07 [core.py:133] Initializing a V1 LLM engine (v0.32.0)",
            "engine core",
        ),
        (
            "(Worker pid=3) INFO 11-22 16:42:16 [cpu_model_runner.py:68] Starting to load model /m...",
            "loading the model",
        ),
        (
            "Loading safetensors checkpoint shards:  45% Completed | 9/20 [00:02<00:00,  2.45s/it]",
            "weights, 45 %",
        ),
        (
            "(EngineCore pid=2) INFO [core.py:402] init engine (profile, create kv cache, warmup model) took 5.97 s",
            "server",
        ),
        (
            "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  60%|██████    | 21/35",
            "CUDA graphs, 60 %",
        ),
    ],
)
def test_line_of_vllm_is_told_in_words(line: str, said: str) -> None:
    """Each step of the start has its sentence."""
    assert said in (describe(line) or "")


@pytest.mark.parametrize(
    "line",
    [
        "INFO:     Application startup complete.",
        "WARNING [vllm.py:1703] Enforce eager set, disabling torch.compile, CUDAGraphs, and JIT kernel warmup.",
    ],
)
def test_other_lines_say_nothing(line: str) -> None:
    """A line that is no step leaves the last sentence standing."""
    assert describe(line) is None


@pytest.mark.parametrize(
    ("line", "setting"),
    [
        (
            "ValueError: To serve at least one request with the model's max seq len (8192), (0.35 GiB KV cache is "
            "needed, which is larger than the available KV cache memory (0.01 GiB).",
            "ZEPHYR_ENGINE_KV_CACHE_GIB",
        ),
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB. GPU 0 has a total capacity of 22",
            "ZEPHYR_MODEL",
        ),
        (
            "ValueError: Free memory on device cuda:0 (1.2/22.0 GiB) on startup is less than desired",
            "not enough memory",
        ),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("api_server.py: error: unrecognized arguments: --no-such-flag", "ZEPHYR_ENGINE_EXTRA_ARGS"),
        (
            "ValueError: User-specified max_model_len (9999) is greater than the derived max_model_len "
            "(max_position_embeddings=8192 or model_max_length=None in model's config.json).",
            "ZEPHYR_ENGINE_MAX_MODEL_LEN",
        ),
    ],
)
def test_what_vllm_died_of_is_answered_with_what_helps(line: str, setting: str) -> None:
    """The setting to change, by its name."""
    assert setting in (advise(line) or "")


def test_unknown_complaint_gets_no_advice() -> None:
    """Rather none than a wrong one."""
    assert advise("RuntimeError: Engine core initialization failed. See root cause above.") is None
