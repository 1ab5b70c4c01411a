"""A streamed answer on its way: the engine's bytes as they come, the record before the end."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from adapters.access.client import ClientGone
from adapters.completions import events
from adapters.completions.events import DONE, EventReader
from adapters.completions.run import Run
from adapters.completions.transcript import Transcript
from adapters.engine.errors import EngineBroke, refusal_in_stream
from adapters.errors import GatewayError


@dataclass(frozen=True, slots=True)
class _Look:
    """What a close look at a piece found."""

    kept: bytes
    """What is passed on."""
    done: bool
    error: GatewayError | None


class CompletionStream:
    """Iterate for the pieces, each of whole server-sent events, then `close`.

    The engine's bytes are passed on untouched. `data: [DONE]` comes only after the exchange is durable; a stream
    that breaks ends with an error event and without it. After the iteration `transcript` holds the answer.
    """

    def __init__(self, run: Run, reader: EventReader, first: bytes, *, usage: bool) -> None:
        """Take a run whose first piece has come.

        Raises:
            GatewayError: the first piece is an error, or there is none.
        """
        self.run = run
        self._reader = reader
        self._first = first
        self._usage = usage
        self.error: GatewayError | None = None
        """What broke the stream, if something did."""
        if not first:
            raise EngineBroke
        if events.needs_a_look(first):
            look = self._look(first)
            if look.error is not None and not look.kept:
                raise look.error
        self._pieces = self._relay()

    @property
    def transcript(self) -> Transcript:
        """The answer so far; read in full once the iteration has ended."""
        return self.run.transcript

    def __aiter__(self) -> AsyncGenerator[bytes, None]:
        return self._pieces

    async def close(self) -> None:
        """End the stream, wherever it is."""
        await self._pieces.aclose()
        self.run.close()

    async def _relay(self) -> AsyncGenerator[bytes, None]:
        piece, add, read = self._first, self.transcript.add, self._reader.next
        counted = self.run.quota is not None
        try:
            while piece:
                add(piece)
                if events.needs_a_look(piece):
                    look = self._look(piece)
                    if look.kept:
                        yield events.without_counts(look.kept) if counted else look.kept
                    if look.error is not None:
                        raise look.error
                    if look.done:
                        await self._finish()
                        yield DONE
                        return
                else:
                    yield events.without_counts(piece) if counted else piece
                piece = await read()
            raise EngineBroke
        except GatewayError as error:
            self.error = error
            await self.run.fail(error)
            if not isinstance(error, ClientGone):
                yield error.event()
        finally:
            self.run.close()

    async def _finish(self) -> None:
        self.transcript.read()
        if not self.transcript.complete(self.run.generation.request.n or 1):
            raise EngineBroke
        await self.run.finish()

    def _look(self, piece: bytes) -> _Look:
        kept: list[bytes] = []
        for event in events.split(piece):
            payload = events.data(event)
            if payload == b"[DONE]":
                return _Look(b"".join(kept), True, None)
            if payload.startswith(b'{"error"'):
                return _Look(b"".join(kept), False, refusal_in_stream(payload))
            if payload.startswith(b"{"):
                try:
                    chunk = events.decode(payload)
                except GatewayError as error:
                    return _Look(b"".join(kept), False, error)
                if any(choice.finish_reason in events.BROKEN for choice in chunk.choices):
                    return _Look(b"".join(kept), False, EngineBroke())
                if not chunk.choices and chunk.usage is not None and not self._usage:
                    continue
            kept.append(event)
        return _Look(b"".join(kept), False, None)
