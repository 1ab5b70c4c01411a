"""Which model is served, and why."""

from pathlib import Path

import pytest

from serving.engine.hardware import Gpu, Hardware
from serving.engine.models import SMOLLM2, ZEPHYR, Model, choose
from serving.errors import CannotRun
from serving.settings import Settings

BARE = Hardware()
LARGE = Hardware(gpus=(Gpu(name="NVIDIA L4", memory_mib=23034, compute_capability=(8, 9)),))
SMALL = Hardware(gpus=(Gpu(name="NVIDIA T4", memory_mib=15360, compute_capability=(7, 5)),))


def settings(**values: object) -> Settings:
    return Settings(**values)  # type: ignore[arg-type]  # the rest has defaults


@pytest.mark.parametrize(
    ("machine", "model", "reason"),
    [
        (LARGE, ZEPHYR, "fits the GPU"),
        (SMALL, SMOLLM2, "needs 20 GiB of GPU memory, there are 15"),
        (BARE, SMOLLM2, "no NVIDIA GPU"),
    ],
)
def test_model_follows_the_hardware(machine: Hardware, model: Model, reason: str) -> None:
    """Zephyr where it fits, the small model elsewhere, and the reason is said."""
    chosen, why = choose(settings(), machine)
    assert chosen == model
    assert reason in why


@pytest.mark.parametrize("asked", ["HuggingFaceH4/zephyr-7b-beta", "zephyr-7b-beta"])
def test_zephyr_can_be_asked_for_anywhere(asked: str) -> None:
    """What was asked for is served, with what we know about it."""
    assert choose(settings(model=asked), BARE)[0] == ZEPHYR


def test_zephyr_of_another_revision_keeps_what_we_know_of_it() -> None:
    """Only the revision differs."""
    chosen, _ = choose(settings(model="HuggingFaceH4/zephyr-7b-beta", model_revision="abc"), BARE)
    assert chosen.revision == "abc"
    assert chosen.sampling == ZEPHYR.sampling


def test_another_model_of_the_hub_is_taken_as_it_is() -> None:
    """Nothing is assumed about it."""
    chosen, _ = choose(settings(model="Qwen/Qwen3-0.6B", model_revision="abc"), LARGE)
    assert (chosen.name, chosen.origin, chosen.revision) == ("Qwen/Qwen3-0.6B", "hub", "abc")
    assert chosen.known_answers == ()


def test_folder_is_served_under_its_own_name(tmp_path: Path) -> None:
    """A model on this machine needs no hub."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    chosen, _ = choose(settings(model=str(folder)), BARE)
    assert (chosen.name, chosen.origin, chosen.source) == ("mine", "folder", str(folder))


def test_folder_named_as_zephyr_is_treated_as_zephyr(tmp_path: Path) -> None:
    """A local copy gets the card's sampling and our template, which its own files lack."""
    folder = tmp_path / "zephyr-7b-beta"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    chosen, _ = choose(settings(model=str(folder)), BARE)
    assert (chosen.origin, chosen.source, chosen.revision) == ("folder", str(folder), None)
    assert chosen.sampling == ZEPHYR.sampling


@pytest.mark.parametrize("asked", ["/nowhere/at/all", "./nowhere", "a/b/c"])
def test_folder_without_a_model_is_refused(asked: str) -> None:
    """The message names the setting and what is missing."""
    with pytest.raises(CannotRun, match=r"ZEPHYR_MODEL: .*config\.json"):
        choose(settings(model=asked), BARE)


def test_revision_of_nothing_is_refused() -> None:
    """It would otherwise be ignored in silence."""
    with pytest.raises(CannotRun, match="ZEPHYR_MODEL_REVISION"):
        choose(settings(model_revision="abc"), BARE)
