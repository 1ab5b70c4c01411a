"""One answer while it is made: the application sends it here, and any number of clients follow it from its start."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import Message, Receive, Send

from adapters.access.client import Client, ClientGone
from adapters.errors import GatewayError
from adapters.idempotency.answer import Answer, Form, Headers, form_of, is_last, is_worth_keeping
from adapters.idempotency.errors import AnswerTooLarge

Keep = Callable[[Answer], Awaitable[None]]
_REPLAYED = (b"idempotent-replayed", b"true")


class Recording:
    """`receive` and `send` are for the application, `follow` is for each client.

    The application is not told that a client has left while there is another, or may be one again within `grace`
    seconds. A whole answer is kept before its last bytes are shown to anybody.
    """

    def __init__(self, body: bytes, *, keep: Keep, grace: float, most_bytes: int) -> None:
        """`keep` makes a whole answer durable, or raises a GatewayError."""
        self.open = True
        """Whether another client may follow; otherwise what comes of this is no answer to be repeated."""
        self.kept = False
        self._request: Message | None = {"type": "http.request", "body": body, "more_body": False}
        self._keep = keep
        self._grace = grace
        self._room = most_bytes
        self._status = 200
        self._headers: Headers = []
        self._form = Form.PLAIN
        self._pieces: list[bytes] = []
        self._replayed = False
        self._shown = False
        """Whether the status is for clients to see; a plain answer's only when the answer is whole."""
        self._complete = False
        self._broken = False
        self._error: GatewayError | None = None
        """What to tell clients that have seen nothing yet."""
        self._wakes: set[asyncio.Event] = set()
        """One for each client that follows."""
        self._leaving: asyncio.TimerHandle | None = None
        self._abandoned = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self._complete or self._broken

    # --- for the application

    async def receive(self) -> Message:
        """The request; then nothing, until every client has left for good."""
        if self._request is not None:
            request, self._request = self._request, None
            return request
        await self._abandoned.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a part of the answer. It waits for no client, but for the disk before the end."""
        if self.ended:
            return
        if message["type"] == "http.response.start":
            self._begin(message["status"], [(name, value) for name, value in message.get("headers", ())])
            return
        piece, more = message.get("body", b""), message.get("more_body", False)
        self._room -= len(piece)
        if self._room < 0:
            self.fail(AnswerTooLarge())
            self.abandon()
        elif await self._may_show(piece, more=more) and not self.ended:  # it may have been stopped meanwhile
            self._show(piece, complete=not more)

    def _begin(self, status: int, headers: Headers) -> None:
        self._status, self._headers, self._form = status, headers, form_of(headers)
        self.open = self.open and status == 200
        if self._form is not Form.PLAIN:
            self._shown = True
            self._wake()

    async def _may_show(self, piece: bytes, *, more: bool) -> bool:
        """Keep the answer if it is whole with this piece; false where that failed, and is told instead."""
        if self.kept or not self.open or not is_last(self._form, piece, more=more):
            return True
        answer = Answer(self._headers, b"".join([*self._pieces, piece]))
        if not is_worth_keeping(self._form, answer.body):
            return True
        try:
            await self._keep(answer)
        except GatewayError as error:
            self.fail(error)
            return False
        self.kept = True
        return True

    # --- for who runs the application

    def replay(self, answer: Answer) -> None:
        """Show an answer that was kept."""
        self.kept = self._replayed = True
        self._headers = answer.headers
        self._show(answer.body, complete=True)

    def fail(self, error: GatewayError) -> None:
        """End what has not ended, and tell the clients why as far as that can still be told."""
        if self.ended:
            return
        self.open = False
        if self._shown and self._form is Form.EVENTS:
            self._show(error.event(), complete=True)
            return
        self._error, self._broken = error, True
        self._wake()

    def abandon(self) -> None:
        """Tell the application that nobody is there any more."""
        self.open = False
        self._abandoned.set()

    # --- for clients

    async def follow(self, receive: Receive, send: Send, *, joined: bool) -> None:
        """Send the answer to a client, from its start and then as it comes; `joined` says that it began for another.

        Raises:
            ClientGone: the client left.
            GatewayError: what the application raised, or why there is no answer.
        """
        wake, gone, client = asyncio.Event(), False, Client(receive)

        def leave(_: GatewayError) -> None:
            nonlocal gone
            gone = True
            wake.set()

        self._enter(wake)
        client.watch(leave)
        begun, read = False, 0
        try:
            while not gone:
                wake.clear()
                if self._shown and not begun:
                    begun = True
                    await send(self._start(joined))
                elif begun and (read < len(self._pieces) or self._complete):
                    body, read, more = b"".join(self._pieces[read:]), len(self._pieces), not self._complete
                    await send({"type": "http.response.body", "body": body, "more_body": more})
                    if not more:
                        return
                elif self._broken and begun:
                    return  # the server closes the connection of an answer without an end
                elif self._error is not None:
                    raise self._error
                else:
                    await wake.wait()
            raise ClientGone
        finally:
            client.unwatch(leave)
            self._exit(wake)

    def _start(self, joined: bool) -> Message:
        headers = [*self._headers, _REPLAYED] if joined or self._replayed else list(self._headers)
        return {"type": "http.response.start", "status": self._status, "headers": headers}

    def _enter(self, wake: asyncio.Event) -> None:
        self._wakes.add(wake)
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    def _exit(self, wake: asyncio.Event) -> None:
        self._wakes.discard(wake)
        if not self._wakes and not self.ended:
            self._leaving = asyncio.get_running_loop().call_later(self._grace, self.abandon)

    def _show(self, piece: bytes, *, complete: bool) -> None:
        self._shown = True
        if piece:
            self._pieces.append(piece)
        self._complete = complete
        self.open = self.open and (self.kept or not complete)
        self._wake()

    def _wake(self) -> None:
        for wake in self._wakes:
            wake.set()
