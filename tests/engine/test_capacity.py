"""The arithmetic of `zephyr plan` beside what a real vLLM counts."""

import re

import pytest

from serving.capacity import report
from serving.capacity.memory import GIB, tokens_in
from serving.capacity.planning import Load, plan
from serving.capacity.shapes import SMOLLM2_SHAPE, ZEPHYR_SHAPE
from serving.settings import Settings
from tests.engine.engines import RealEngine

pytestmark = pytest.mark.engine
FLOAT32 = 4
CPU_BLOCK = 128  # tokens; vLLM's own on a processor


def test_tokens_in_the_cache_are_those_that_vllm_reports(smollm2_engine: RealEngine) -> None:
    """To the token, and how many sequences of the longest kind fit at once."""
    log = (smollm2_engine.home / "logs" / "engine.log").read_text()
    found = re.search(
        r"KV cache size: ([\d,]+) tokens, Maximum concurrency for ([\d,]+) tokens per request: ([\d.]+)x", log
    )
    assert found is not None, log[-4000:]
    tokens, length = (int(found[group].replace(",", "")) for group in (1, 2))
    fits = tokens_in(1 * GIB, SMOLLM2_SHAPE.kv_bytes(FLOAT32), CPU_BLOCK)
    assert (tokens, length) == (fits, SMOLLM2_SHAPE.context)
    assert float(found[3]) == round(fits / SMOLLM2_SHAPE.context, 2)


def test_flags_of_a_plan_are_flags_of_vllm() -> None:
    """Those that it names, and those that it sets."""
    python = Settings().engine_python  # type: ignore[call-arg]  # the rest has defaults
    (source,) = python.parent.parent.glob("lib/python*/site-packages/vllm/engine/arg_utils.py")
    shared = plan(ZEPHYR_SHAPE, 10.0, Load(prompt=100, answer=100))
    said = "\n".join(report.text(shared, ZEPHYR_SHAPE.name))
    flags = re.findall(r"--[a-z-]+", said.replace("--gpu)", ""))
    assert set(flags) == {"--gpu-memory-utilization", "--tensor-parallel-size"}
    for flag in flags:
        assert f'"{flag}"' in source.read_text()
