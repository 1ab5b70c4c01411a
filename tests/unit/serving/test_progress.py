"""What vLLM is doing, read from lines that it printed."""

import pytest

from serving.engine.progress import describe


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
