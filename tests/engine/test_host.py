"""What the host tells vLLM, held against the real one."""

import json
import subprocess
from pathlib import Path

import pytest

from serving.engine import hardware, profile
from serving.engine.hardware import Gpu, Hardware
from serving.engine.models import SMOLLM2, ZEPHYR
from serving.errors import CannotRun
from serving.settings import Settings
from tests.engine.engines import RealEngine

pytestmark = pytest.mark.engine

GPU = Hardware(gpus=(Gpu(name="NVIDIA H100", memory_mib=81559, compute_capability=(9, 0)),))
CPU = Hardware(cores=2, memory_bytes=32 * profile.GIB, memory_free_bytes=30 * profile.GIB)
# Made once with transformers 5.19 and accelerate from the GGUF file itself, in float32.
QUESTION = "What is the capital of France?"
REFERENCE_PROMPT = [
    *(
        1,
        9690,
        198,
        2683,
        359,
        253,
        5356,
        5646,
        11173,
        3365,
        3511,
        308,
        34519,
        28,
        7018,
        411,
        407,
        19712,
        8182,
    ),
    *(2, 198, 1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2, 198, 1, 520, 9531, 198),
]
REFERENCE_LOGPROBS = [-1.8827, -0.0197, -0.0115, -0.0109, -0.0388, -0.05, -0.5656, -0.2578]
PARSE = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.utils.argparse_utils import FlexibleArgumentParser
parsed = []
for arguments in json.load(sys.stdin):
    args = make_arg_parser(FlexibleArgumentParser()).parse_args(arguments)
    validate_parsed_serve_args(args)
    parsed.append({name: value for name, value in vars(args).items() if isinstance(value, (str, int, float, dict))})
print("\\n" + json.dumps(parsed))
"""


def test_vllms_own_parser_takes_every_profile() -> None:
    """A flag that this version does not know, or that means something else, is found here."""
    settings = Settings.read()
    plans = [
        profile.plan(machine, settings, model, Path("/m"))
        for machine, model in ((GPU, ZEPHYR), (CPU, SMOLLM2))
    ]
    done = subprocess.run(
        [str(settings.engine_python), "-c", PARSE],
        input=json.dumps([[*plan.arguments, "--uds", "/s"] for plan in plans]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    on_gpu, on_cpu = json.loads(done.stdout.splitlines()[-1])
    assert on_gpu["disable_sliding_window"] is True
    assert on_gpu["override_generation_config"] == ZEPHYR.sampling
    assert on_gpu["chat_template"].endswith("zephyr.jinja")
    assert on_cpu["tool_call_parser"] == "hermes"
    for parsed, dtype in ((on_gpu, "bfloat16"), (on_cpu, "float32")):
        assert (parsed["model"], parsed["uds"], parsed["dtype"]) == ("/m", "/s", dtype)
        assert parsed["scheduling_policy"] == "priority"
        assert parsed["max_num_queued_reqs"] == settings.engine_max_queued
        assert parsed["fingerprint_mode"] == "custom"
        assert parsed["disable_fastapi_docs"] is True
        assert parsed["enable_tokenizer_info_endpoint"] is True


def test_answers_name_the_model_that_made_them(smollm2_engine: RealEngine) -> None:
    """The fingerprint is what the log keeps."""
    answer = smollm2_engine.post(
        "/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    )
    revision = (SMOLLM2.revision or "")[:12]
    assert answer["system_fingerprint"] == f"SmolLM2-135M-Instruct@{revision}+float32"


def test_default_model_is_converted_exactly(smollm2_engine: RealEngine) -> None:
    """The same prompt ids, and the same log probabilities to two digits, as transformers reads from the original file."""
    question = {"messages": [{"role": "user", "content": QUESTION}]}
    assert smollm2_engine.post("/tokenize", question)["tokens"] == REFERENCE_PROMPT
    greedy = question | {"temperature": 0, "max_tokens": 16, "logprobs": True}
    said = smollm2_engine.post("/v1/chat/completions", greedy)["choices"][0]["logprobs"]["content"]
    assert [token["logprob"] for token in said] == pytest.approx(REFERENCE_LOGPROBS, abs=0.01)


def test_default_model_is_shown_the_tools_it_may_call(smollm2_engine: RealEngine) -> None:
    """Its own template would leave them out."""
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
    question = {"messages": [{"role": "user", "content": "hi"}]}
    with_tool = smollm2_engine.post("/tokenize", question | {"tools": [tool]})
    text = smollm2_engine.post("/detokenize", {"tokens": with_tool["tokens"]})["prompt"]
    assert "get_weather" in text


def test_engine_is_reached_by_its_published_name_only(smollm2_engine: RealEngine) -> None:
    """No port of the machine is opened for it."""
    assert smollm2_engine.url == f"unix:{smollm2_engine.home}/run/engine.sock"


@pytest.mark.wrong_engine
@pytest.mark.skipif(
    "amx_bf16" in hardware.look().flags, reason="not seen to be wrong where AMX computes bfloat16"
)
def test_fluent_and_wrong_engine_never_becomes_ready() -> None:
    """Compiled bfloat16 answers fluent nonsense on a processor, without any error: the check refuses it."""
    with pytest.raises(CannotRun, match="the engine answers wrongly: asked 'What is the capital of France"):
        RealEngine(None, "--dtype", "bfloat16", "--no-enforce-eager")


def test_engine_that_cannot_start_says_what_to_change() -> None:
    """vLLM's own words are long; the setting that helps is named."""
    with pytest.raises(CannotRun, match=r"(?s)ended before it was ready.*lower ZEPHYR_ENGINE_MAX_MODEL_LEN"):
        RealEngine(None, "--kv-cache-memory-bytes", "10M")
