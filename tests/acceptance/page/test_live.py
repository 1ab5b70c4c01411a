"""The charts, and what is missing while the engine loads."""

import os
import re
from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import NewGateway
from tests.acceptance.gateway import ROOT, Gateway
from tests.acceptance.page.conftest import NewTab, Tab
from tests.fakes.engine import Script, ScriptedEngine

TWO_GPUS = """
import itertools, sys
from tests.fakes.nvml import FakeGpu, FakeNvml

driver = FakeNvml(FakeGpu(used_mib=14336), FakeGpu(name="NVIDIA L4", load=0, untold={"power"}))
readings = itertools.count()
driver.before_reading = lambda: setattr(driver.gpus[0], "load", 40 + next(readings) % 2 * 20)
sys.modules["pynvml"] = driver
"""
"""What takes the driver's place in the gateway's process, before anything of the gateway is imported."""
_DRAWN = """() => [...document.querySelectorAll('.chart canvas')].every((one) => one.getContext('2d')
    .getImageData(0, 0, one.width, one.height).data.some((value) => value > 0))"""

_COLOURED = """(name) => [...document.querySelectorAll(`[aria-label="${name}"] canvas`)].every((one) => {
    const data = one.getContext('2d').getImageData(0, 0, one.width, one.height).data;
    let coloured = 0;
    for (let at = 0; at < data.length; at += 4) {
        const [red, green, blue, alpha] = data.slice(at, at + 4);
        if (alpha > 200 && Math.max(red, green, blue) - Math.min(red, green, blue) > 60) coloured++;
    }
    return coloured > 5;
})"""
"""Whether each chart of a GPU has a line: grid and words are grey."""


@pytest.fixture(scope="module")
def with_gpus(new_gateway: NewGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway on a machine with two GPUs, of which the second does not tell its power."""
    folder = tmp_path_factory.mktemp("driver")
    (folder / "sitecustomize.py").write_text(TWO_GPUS)
    path = os.pathsep.join([str(folder), str(ROOT)])
    with new_gateway(PYTHONPATH=path, ZEPHYR_GPU_INTERVAL="0.2") as gateway:
        yield gateway


def test_the_charts_move(tab: Tab, engine: ScriptedEngine) -> None:
    engine.script = Script(pieces=[f"word{number} " for number in range(400)], pause=0.05, silence=0.1)
    tab.ask("count")
    tab.press("Live")
    requests = tab.page.locator(".card", has_text="Requests")
    requests.get_by_text("1 running").wait_for()
    samples = "one => Number(one.dataset.samples)"
    before = requests.locator(".chart").evaluate(samples)
    tab.page.wait_for_function(
        "before => Number(document.querySelector('.chart').dataset.samples) > before", arg=before
    )
    first = tab.page.locator(".card", has_text="Time to first token")
    first.get_by_text(re.compile(r"^\d+ ms$")).first.wait_for()
    assert tab.page.evaluate(_DRAWN)
    tab.press("Chat")
    tab.press("Stop")


def test_while_the_engine_is_away_the_page_says_what_is_missing_and_for_how_long(
    new_gateway: NewGateway, new_tab: NewTab, engine: ScriptedEngine
) -> None:
    gateway = new_gateway(ENGINE_URL="http://127.0.0.1:1")
    gateway.start()
    try:
        gateway.wait_until_alive()
        tab = new_tab(gateway)
        waiting = tab.page.locator(".waiting")
        waiting.get_by_text("The engine cannot be reached.").wait_for()
        waiting.get_by_text("for 2 s").wait_for()
        tab.page.get_by_role("heading", name="Not ready").wait_for()
    finally:
        gateway.kill()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_gpu_shows_load_memory_temperature_and_power(
    new_tab: NewTab, with_gpus: Gateway, engine: ScriptedEngine, scheme: str
) -> None:
    tab = new_tab(with_gpus, color_scheme=scheme)
    tab.press("Live")
    first, second = (tab.page.get_by_role("region", name=f"GPU {index}") for index in (0, 1))
    first.get_by_role("heading", name="NVIDIA H200").wait_for()
    shown = first.locator("figcaption")
    for load in ("40 %", "60 %"):  # it changes with each reading
        shown.filter(has_text="Load").get_by_text(load).wait_for()
    figures = [" ".join(text.split()) for text in shown.all_inner_texts()]
    assert figures[1:] == ["Memory 14.0 GiB of 80 GiB", "Temperature 41 °C", "Power 119 W"]
    assert first.locator("canvas").count() == 4
    tab.press("1 min")
    tab.page.wait_for_function(_COLOURED, arg="GPU 0")
    tab.page.wait_for_function(_COLOURED, arg="GPU 1")
    second.get_by_text("This GPU does not tell.").wait_for()
    assert second.locator("canvas").count() == 3
