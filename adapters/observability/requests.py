"""The request that the running code works for, so that log lines and spans can name it without being told."""

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.observability.traces import Trace

_current: ContextVar["Request | None"] = ContextVar("request", default=None)


class Request:
    """One request, from its arrival to its last byte. Tasks that it starts inherit it."""

    __slots__ = ("name", "outcome", "trace")

    def __init__(self, name: str, trace: "Trace | None") -> None:
        self.name = name
        """Its id, as `x-request-id` has it."""
        self.trace = trace
        """Its trace; None where requests are not traced."""
        self.outcome: str | None = None
        """What its exchange was recorded as, if it has one."""


def begin(name: str, trace: "Trace | None") -> Request:
    """Say that the running task works for this request from now on."""
    request = Request(name, trace)
    _current.set(request)
    return request


def current() -> Request | None:
    """The request that the running task works for, if there is one."""
    return _current.get()


def enter(phase: str | None) -> None:
    """Say what is done for the request from now on: where it is traced, that is a span until the next one."""
    request = _current.get()
    if request is not None and request.trace is not None:
        request.trace.enter(phase)
