"""Memory and bounds, beside numbers that were worked out by hand."""

import pytest

from serving.capacity.bounds import Bounds
from serving.capacity.gpus import SHEETS, one_gpu, sheet_of
from serving.capacity.memory import GIB, memory, tokens_in
from serving.capacity.shapes import SMOLLM2_SHAPE, ZEPHYR_SHAPE
from serving.errors import CannotPlan


def bounds(gpu: str, gpus: int = 1) -> Bounds:
    return Bounds(shape=ZEPHYR_SHAPE, sheet=sheet_of(gpu), gpus=gpus)


def test_memory_of_zephyr_on_40_gib() -> None:
    """36.8 GiB less 13.489 and 2.5 are 20.811 GiB; a token takes 131,072 bytes, a block 16 tokens."""
    fits = memory(ZEPHYR_SHAPE, 40 * GIB, 0.92, 1)
    assert fits.usable == 39_513_699_123
    assert fits.weights == 14_483_464_192
    assert fits.cache == 39_513_699_123 - 14_483_464_192 - 2_684_354_560
    assert (fits.token, fits.tokens) == (131_072, 10_655 * 16)
    assert fits.sequences(1000) == 10_655 // 63
    assert fits.sequences(1008) == 10_655 // 63  # the same blocks
    assert fits.sequences(1009) == 10_655 // 64


def test_two_gpus_hold_half_of_everything_each() -> None:
    """But the working memory; so the tokens of both are more than twice those of one."""
    one, two = (memory(ZEPHYR_SHAPE, 22 * GIB, 0.92, gpus) for gpus in (1, 2))
    assert (two.weights, two.token) == (one.weights // 2, one.token // 2)
    assert two.tokens > 2 * one.tokens


def test_memory_that_is_too_small_holds_no_token() -> None:
    """And no fewer than none."""
    fits = memory(ZEPHYR_SHAPE, 12 * GIB, 0.92, 1)
    assert fits.cache < 0
    assert (fits.tokens, fits.sequences(1)) == (0, 0)


def test_tokens_are_those_that_vllm_reported() -> None:
    """vLLM 0.32 on a processor, SmolLM2 in float32 with 1 GiB of cache: `tests/engine/test_capacity.py` asks it anew."""
    assert tokens_in(GIB, SMOLLM2_SHAPE.kv_bytes(4), 128) == 23_296


@pytest.mark.parametrize(
    ("gpu", "alone", "at_32", "at_64", "at_256"),
    [
        ("A100-80", 143, 3_986, 5_721, 10_745),
        ("L40S", 60, 1_689, 2_424, 4_553),
        ("H100", 234, 6_549, 9_399, 17_653),
        ("H200", 336, 9_384, 13_467, 25_294),
    ],
)
def test_decode_is_bound_by_what_is_read(gpu: str, alone: int, at_32: int, at_64: int, at_256: int) -> None:
    """(14.22 GB + sequences x tokens x 131,072) / bandwidth: at 512 tokens for the first two, at 1,024 for the others."""
    of = bounds(gpu).decode
    figures = [of(1, 512), of(32, 512), of(64, 1024), of(256, 1024)]
    assert [round(figure) for figure in figures] == [alone, at_32, at_64, at_256]


def test_decode_of_very_many_short_sequences_is_bound_by_computing() -> None:
    """2 x 7.11 G operations a token: 121 T / 14.22 G on an L4."""
    assert bounds("L4").decode(4096, 1) == pytest.approx(121e12 / 14.2205e9, rel=1e-3)


def test_prefill_is_bound_by_computing() -> None:
    """989.5 T / (2 x 6.98 G); the first token comes no sooner than the weights are read."""
    of = bounds("H100")
    assert of.prefill == pytest.approx(989.5e12 / (2 * 6.9793e9), rel=1e-4)
    assert of.first_token_seconds(4096) == pytest.approx(4096 / of.prefill)
    assert of.first_token_seconds(1) == of.step_seconds(1, 1)


def test_requests_take_turns_with_prompts() -> None:
    """512 tokens at 70,888 a second, and 128 steps for 256 at once: 7.22 ms and 5.01 ms make 82 requests a second."""
    of = bounds("H100")
    step = (14.2207e9 + 256 * 576 * 131_072) / 3.35e12
    assert of.requests(256, 512, 128) == pytest.approx(1 / (512 / 70_888 + 128 * step / 256), rel=1e-3)
    assert round(of.requests(256, 512, 128) * 128 / 2) == 5233  # what is said beside planning.SHARE


def test_two_gpus_are_at_most_twice_as_fast() -> None:
    """What passes between them is not counted."""
    assert bounds("H100", 2).decode(8, 512) == pytest.approx(2 * bounds("H100").decode(8, 512))


@pytest.mark.parametrize("name", ["A100-80", "a100-80gb", "NVIDIA A100 80GB", "A100_80"])
def test_gpu_is_found_as_one_writes_it(name: str) -> None:
    """Whatever stands between letters and digits."""
    assert sheet_of(name).name == "A100-80"


def test_sheets_are_found_by_their_own_names() -> None:
    """None hides another."""
    assert [sheet_of(sheet.name) for sheet in SHEETS] == list(SHEETS)


@pytest.mark.parametrize(
    ("name", "memory_gib", "said"),
    [
        ("A100", None, "^--gpu: no data sheet of 'A100'.*A100-40, A100-80"),
        (None, None, "^--gpu, --gpu-memory: give one"),
        ("L4", 24.0, "^--gpu, --gpu-memory: give one"),
    ],
)
def test_gpu_that_is_not_clear_is_asked_for(name: str | None, memory_gib: float | None, said: str) -> None:
    """By the names of the options."""
    with pytest.raises(CannotPlan, match=said):
        one_gpu(name, memory_gib)
