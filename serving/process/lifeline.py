"""The host's end of the pipe to its watchdog, which ends our children if we vanish; see `watchdog.py`."""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

from serving.process import watchdog


class Lifeline:
    """What ties our children to us: a pipe whose end tells the watchdog that we are gone."""

    def __init__(self) -> None:
        script = str(Path(watchdog.__file__))
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", script], stdin=subprocess.PIPE, start_new_session=True, text=True
        )

    def watch(self, group: int, stop_signal: signal.Signals) -> None:
        self._tell(f"+{group} {int(stop_signal)}")

    def forget(self, group: int) -> None:
        self._tell(f"-{group}")

    def close(self) -> None:
        """Let it go; whatever it still watches is ended by it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
