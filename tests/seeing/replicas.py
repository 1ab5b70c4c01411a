"""What only vllm-router shows: one of its engines is away."""

import http.client
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.acceptance.gateway import chat, free_port
from tests.fakes.engine import ScriptedEngine
from tests.overload.stand import stand_before
from tests.seeing.prometheus import prometheus

_ALERT = "ZephyrReplicaAway"
_START_SECONDS = 60.0


def measure() -> str:
    """Stop one of two engines behind the router, and start it again."""
    with (
        ScriptedEngine() as one,
        ScriptedEngine() as other,
        _router(one.url, other.url) as (port, figures),
        stand_before(f"http://127.0.0.1:{port}", ZEPHYR_ENGINE_HEALTH_PATH="/readiness") as parts,
        prometheus(parts.gateway.admin_port, figures) as seen,
    ):
        parts.gateway.post("/v1/chat/completions", chat())  # until then the router tells nothing
        seen.wait_until_up()
        other.stop()
        fired = seen.seconds_until(_ALERT, fires=True)
        said, status = seen.summaries(_ALERT)[0], parts.gateway.post("/v1/chat/completions", chat()).status
        other.start()
        ended = seen.seconds_until(_ALERT, fires=False)
    return f"{_ALERT}: fired after {fired:.0f} s, ended after {ended:.0f} s; a request got {status}\n    said: {said}"


@contextmanager
def _router(*engines: str) -> Iterator[tuple[int, int]]:
    """Its port, and that of its figures; with what its image sets."""
    program = shutil.which("vllm-router")
    if program is None:
        raise SystemExit("There is no vllm-router here; setup/router.lock has it.")
    port, figures = free_port(), free_port()
    checks = ["--health-check-interval-secs", "3", "--health-check-timeout-secs", "2"]
    arguments = ["--port", str(port), "--prometheus-port", str(figures), "--health-failure-threshold", "2"]
    command = [program, "--host", "127.0.0.1", *arguments, *checks, "--worker-urls", *engines]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until_ready(port)
        yield port, figures
    finally:
        process.terminate()
        process.wait()


def _until_ready(port: int) -> None:
    limit = time.monotonic() + _START_SECONDS
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/readiness")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        if time.monotonic() > limit:
            raise TimeoutError("the router does not start")
        time.sleep(0.1)
