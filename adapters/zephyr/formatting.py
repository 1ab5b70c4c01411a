"""Formatting of Python code with black: in a child process, within limits, and never in the way of an answer."""

import asyncio
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass

from adapters.settings import CodeSettings

_GRACE_SECONDS = 0.5  # the child ends itself at the time limit; this process ends it a little later


@dataclass(frozen=True, kw_only=True)
class Formatted:
    """Code as the model is to see it."""

    code: str
    warning: str | None = None
    """Why it was left as it was sent, if it was."""


class Formatter:
    """Formats one piece of code at a time, in a child that is started when first needed and replaced when stuck."""

    def __init__(self, settings: CodeSettings) -> None:
        self._settings = settings
        self._turn = asyncio.Lock()
        self._child: asyncio.subprocess.Process | None = None

    async def format(self, code: str) -> Formatted:
        """The code as black formats it, or as it was sent together with the reason."""
        sent = code.encode()
        if len(sent) > self._settings.black_max_bytes:
            return _unformatted(code, f"it is larger than {self._settings.black_max_bytes} bytes")
        try:
            async with asyncio.timeout(self._settings.black_timeout):
                await self._turn.acquire()
        except TimeoutError:
            return _unformatted(code, "too much other code was waiting to be formatted")
        try:
            async with asyncio.timeout(self._settings.black_timeout + _GRACE_SECONDS):
                answer = await self._ask(sent)
        except TimeoutError:
            return _unformatted(code, "black did not finish in time")
        except (OSError, asyncio.IncompleteReadError):
            return _unformatted(code, "black broke down over it, or did not finish in time")
        finally:
            self._turn.release()
        if answer[:1] == b"+":
            return Formatted(code=answer[1:].decode())
        return _unformatted(
            code, "black cannot parse it" if answer == b"-" else "it becomes too large when formatted"
        )

    async def close(self) -> None:
        """End the child."""
        if self._child is not None:
            child, self._child = self._child, None
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    async def _ask(self, code: bytes) -> bytes:
        try:
            child = self._child = self._child or await self._start()
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(struct.pack(">I", len(code)) + code)
            await child.stdin.drain()
            (size,) = struct.unpack(">I", await child.stdout.readexactly(4))
            return await child.stdout.readexactly(size)
        except BaseException:
            # Whoever asks next must not get this answer: a child that was left in the middle is of no use.
            await asyncio.shield(self.close())
            raise

    async def _start(self) -> asyncio.subprocess.Process:
        seconds, most_bytes = self._settings.black_timeout, self._settings.black_max_bytes
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "adapters.zephyr.black_worker", str(seconds), str(most_bytes)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )


def _unformatted(code: str, reason: str) -> Formatted:
    return Formatted(
        code=code, warning=f"The code was not formatted: {reason}. The model saw it as it was sent."
    )
