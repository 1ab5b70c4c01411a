"""How a scripted engine answers one generation, and what it notes of it."""

import json
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tests.fakes import answers
from tests.fakes.answers import Json, ToolCall


@dataclass(frozen=True, kw_only=True)
class Script:
    """How the engine answers one generation; the default is a short answer that is well in every way."""

    pieces: Sequence[str] = ("Hello", ", ", "world", ".")
    """The text, a token each."""
    finish_reason: str = "stop"
    tool_calls: Sequence[ToolCall] = ()
    """What the model asks for instead of saying something."""
    cached_tokens: int = 0

    status: int = 200
    body: bytes | None = None
    """The exact body of an answer that does not stream, instead of vLLM's."""
    events: Iterable[bytes] | None = None
    """The exact events of a stream, instead of vLLM's."""
    raw: bytes | None = None
    """The exact bytes of the whole answer, status line included."""

    silence: float = 0.0
    """Seconds before the status line."""
    pause: float = 0.0
    """Seconds before each event, and after each packet of raw bytes."""
    cuts: Sequence[int] = ()
    """Offsets at which a stream is torn into chunks and packets, instead of after each event, or raw bytes into packets."""

    stop_after: int | None = None
    """Events (of a stream) or bytes (of a plain body) that are sent before the ending; None sends all."""
    ending: Literal["whole", "close", "reset", "hang"] = "whole"
    """Ended as HTTP wants, closed or reset without that, or silent for ever."""


def refusal(status: int, message: str, *, type: str = "BadRequestError", param: str | None = None) -> Script:
    """A script that refuses in vLLM's shape."""
    return Script(status=status, body=answers.compact(answers.error(status, message, type=type, param=param)))


@dataclass(kw_only=True)
class Seen:
    """A generation that reached the engine."""

    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    arrived: float = field(default_factory=time.monotonic)
    sent_bytes: int = 0
    """Bytes of the answer's body given to the socket so far."""
    outcome: Literal["open", "completed", "aborted", "broken"] = "open"
    """`aborted` when the gateway closed the connection, `broken` when the script did."""
    ended: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def canary(self) -> bool:
        """Whether the gateway asks for itself."""
        return self.headers.get("x-request-id", "").startswith("canary-")

    @property
    def json(self) -> Json:
        loaded: Json = json.loads(self.body)
        return loaded

    def end(self, outcome: Literal["completed", "aborted", "broken"]) -> None:
        """Note how it ended; the first ending counts."""
        if self.outcome == "open":
            self.outcome, self.ended = outcome, time.monotonic()
            self._over.set()

    def wait(self, seconds: float = 5.0) -> str:
        """Wait for the end and return the outcome, `open` if it has not come by then."""
        self._over.wait(seconds)
        return self.outcome
