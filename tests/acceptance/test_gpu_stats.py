"""The statistics over the real gateway: live and once."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGTERM
from socket import SHUT_RDWR

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.acceptance.conftest import NewGateway
from tests.acceptance.gateway import Gateway
from tests.fakes.engine import Script, ScriptedEngine

PATH = "/zephyr/ws/gpu-stats"


def address(gateway: Gateway) -> str:
    return gateway.url.replace("http", "ws") + PATH


def test_a_message_comes_about_every_second_and_tells_of_gpus_and_engine(
    gateway: Gateway, engine: ScriptedEngine
) -> None:
    with connect(address(gateway)) as socket:
        began = time.monotonic()
        first, second, third = (json.loads(socket.recv(timeout=5)) for _ in range(3))
        assert 1.5 < time.monotonic() - began < 4
    assert isinstance(first["gpus"], list)
    assert bool(first["gpus"]) != bool(first["gpu_problem"])
    assert third["engine"]["ready"] is True
    assert third["engine"]["kv_cache_usage"] == 0.25
    assert third["engine"]["generation_tokens_per_second"] >= 0.0  # a canary may have been asked meanwhile
    assert second.keys() == first.keys()


def test_running_requests_and_tokens_show_in_the_statistics(gateway: Gateway, engine: ScriptedEngine) -> None:
    engine.scripts = {"slow": Script(pieces=["a"] * 100, silence=2.5)}
    with connect(address(gateway)) as socket, gateway.send({"user_message": "slow"}, "/zephyr/python"):
        engine.wait_for(1)
        running = [json.loads(socket.recv(timeout=5))["engine"]["running"] for _ in range(3)]
    assert 1 in running


def test_the_same_once(gateway: Gateway, engine: ScriptedEngine) -> None:
    answer = gateway.get("/zephyr/gpu-stats")
    assert answer.status == 200
    with connect(address(gateway)) as socket:
        assert json.loads(socket.recv(timeout=5)).keys() == answer.json.keys()


def test_what_a_client_sends_is_ignored(gateway: Gateway, engine: ScriptedEngine) -> None:
    with connect(address(gateway)) as socket:
        socket.send("hello")
        socket.send(b"\x00\x01")
        socket.recv(timeout=5)
        assert json.loads(socket.recv(timeout=5))["engine"]


def test_a_page_of_another_origin_is_refused_and_an_allowed_one_is_not(
    gateway: Gateway, engine: ScriptedEngine
) -> None:
    for origin in ("https://evil.example", "null"):
        with pytest.raises(InvalidStatus) as refused, connect(address(gateway), origin=Origin(origin)):
            pass
        assert refused.value.response.status_code == 403
        assert json.loads(refused.value.response.body or b"")["error"]["code"] == "origin_not_allowed"
    for origin in ("http://localhost:8501", gateway.url):
        with connect(address(gateway), origin=Origin(origin)) as socket:
            socket.recv(timeout=5)


def test_sockets_are_bounded_and_a_closed_one_makes_room(
    new_gateway: NewGateway, engine: ScriptedEngine
) -> None:
    with new_gateway(ZEPHYR_GPU_MAX_SOCKETS="2") as gateway:
        with connect(address(gateway)) as first, connect(address(gateway)) as second:
            first.recv(timeout=5)
            second.recv(timeout=5)
            with pytest.raises(InvalidStatus) as refused, connect(address(gateway)):
                pass
            assert refused.value.response.status_code == 503
            assert refused.value.response.headers["retry-after"]
        time.sleep(0.3)
        with connect(address(gateway)) as third:
            third.recv(timeout=5)


def test_sockets_that_come_and_go_leave_nothing_behind(
    new_gateway: NewGateway, engine: ScriptedEngine
) -> None:
    with new_gateway(ZEPHYR_GPU_INTERVAL="30", ZEPHYR_GPU_MAX_SOCKETS="16") as gateway:
        files = Path(f"/proc/{gateway.process.pid}/fd")

        def visit(_: int) -> None:
            with connect(address(gateway)) as socket:
                socket.recv(timeout=5)

        visit(0)
        before = len(list(files.iterdir()))
        with ThreadPoolExecutor(8) as many:
            list(many.map(visit, range(40)))
        for _ in range(5):
            with connect(address(gateway)) as abrupt:
                abrupt.recv(timeout=5)
                abrupt.socket.shutdown(SHUT_RDWR)
        limit = time.monotonic() + 5
        while len(list(files.iterdir())) > before:
            assert time.monotonic() < limit, "files of closed sockets are still open"
            time.sleep(0.05)
        assert "Traceback" not in gateway.log_text


def test_a_gateway_that_stops_says_good_bye_to_those_who_watch(
    new_gateway: NewGateway, engine: ScriptedEngine
) -> None:
    with new_gateway() as gateway, connect(address(gateway)) as socket:
        socket.recv(timeout=5)
        gateway.terminate()
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                socket.recv(timeout=5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code in (1001, 1012)
        assert gateway.process.wait(10) in (0, -SIGTERM)
        assert "Traceback" not in gateway.log_text
