"""One HTTP/1.1 connection to the engine, carrying one request at a time.

Written by hand because it is on the path of every token: see docs/decisions/0004-own-engine-connection.md.
"""

import asyncio
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from adapters.engine.errors import EngineBroke, EngineTimeout
from adapters.errors import GatewayError

_REFUSALS = (b'data: {"error"', b'{"error"')  # which vLLM gives with status 200, too
_PAUSE_READING_AT = 4 * 1024  # bytes waiting for a slow client before the engine is held back
_arrival = memoryview(bytearray(16 * 1024))
"""Where what comes is put, of every connection: it is parsed before the next comes. Its size bounds what one read may
bring; a loop's own reads bring up to 256 KiB each to a client that takes nothing."""


class StaleConnection(Exception):
    """The engine closed a kept connection before it answered anything: the request may be sent again."""


class Connection(asyncio.BufferedProtocol):
    """One request and its answer; afterwards, if both ends agree, another one."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.complete = False
        self.reusable = False
        self._started = False
        self._body_started = False
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0
        self._reading = True
        self._idle_timeout = 0.0
        self.last_byte_at = 0.0
        """By the event loop's clock."""
        self.answering = False
        """Whether a model's answer comes, and no refusal, for which no model is needed."""

    # --- what the client of this connection does with it

    def send(self, head: bytes, body: bytes, *, first_byte_timeout: float, idle_timeout: float) -> None:
        """Send one request. Timeouts are in seconds."""
        self._reset()
        self._parser = HttpResponseParser(self)
        self._idle_timeout = idle_timeout
        if self._error is None and self._transport is not None:
            self._transport.write(head + body)
            self._timer = self._loop.call_later(first_byte_timeout, self._timed_out)

    async def answered(self) -> int:
        """Wait for the status line and headers, and return the status.

        Raises:
            StaleConnection: the connection was closed before any byte of an answer.
            GatewayError: the engine broke off, or gave no answer in time.
        """
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._news()
        return self.status

    async def read(self) -> bytes:
        """The next bytes of the body, as many as have come; `b""` at its end.

        Raises:
            GatewayError: the engine broke off, fell silent, or the request was stopped.
        """
        while not self._pieces:
            if self.complete:
                return b""
            if self._error is not None:
                raise self._error
            await self._news()
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._waiting_bytes = 0
        if not self._reading and self._transport is not None:
            self._reading = True
            self.last_byte_at = self._loop.time()
            self._transport.resume_reading()
        return piece

    def stop(self, error: GatewayError) -> None:
        """End the request now: whoever reads gets this error, and the engine sees a closed connection."""
        if not self.complete:
            self._fail(error)

    def close(self) -> None:
        """Close the connection, whatever it is doing."""
        self._cancel_timer()
        if self._transport is not None:
            self._transport.abort()

    @property
    def open(self) -> bool:
        """Whether both ends still hold the connection."""
        return self._error is None and self._transport is not None and not self._transport.is_closing()

    @property
    def held_back(self) -> bool:
        """Whether more has come than was read, so that nothing is taken from the engine for now."""
        return not self._reading

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not subclasses of asyncio's

    def get_buffer(self, sizehint: int) -> memoryview:
        return _arrival

    def buffer_updated(self, nbytes: int) -> None:
        if self.complete:  # nobody asked for these: the next request must not take them for its answer
            self._fail(EngineBroke())
            return
        self._started = True
        self.last_byte_at = self._loop.time()
        try:
            self._parser.feed_data(_arrival[:nbytes])
        except (HttpParserError, HttpParserUpgrade):
            self._fail(EngineBroke())
            return
        if self._waiting_bytes > _PAUSE_READING_AT and self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        if self._error is None:
            self._error = EngineBroke() if self._started else StaleConnection()
        self._wake()

    # --- what the parser calls

    def on_message_begin(self) -> None:
        if self.complete:
            self._fail(EngineBroke())

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 and not self.complete:  # 1xx only announces the answer
            self.status = status

    def on_body(self, body: bytes) -> None:
        if self.complete:
            return
        if not self._body_started:
            self._body_started = True
            self.answering = self.status == 200 and not body.startswith(_REFUSALS)
            self._watch_for_silence()
        self._pieces.append(body)
        self._waiting_bytes += len(body)

    def on_message_complete(self) -> None:
        if not self.status or self.complete:
            return
        self.complete = True
        self.reusable = self._parser.should_keep_alive()
        self._cancel_timer()

    # --- inside

    def _news(self) -> asyncio.Future[None]:
        self._waiter = self._loop.create_future()
        return self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        self.close()
        self._wake()

    def _watch_for_silence(self) -> None:
        """From the first byte of the body on, silence is measured from the last byte.

        The timer is not moved for each byte, which would cost more than the byte: when it fires, it looks.
        """
        self._cancel_timer()
        self._timer = self._loop.call_later(self._idle_timeout, self._look_for_silence)

    def _look_for_silence(self) -> None:
        silent = self._loop.time() - self.last_byte_at if self._reading else 0.0
        if silent >= self._idle_timeout:
            self._timed_out()
        else:
            self._timer = self._loop.call_later(self._idle_timeout - silent, self._look_for_silence)

    def _timed_out(self) -> None:
        self._fail(EngineTimeout())

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
