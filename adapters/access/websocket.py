"""uvicorn's websocket protocol, whose handshakes all end, and are refused in the API's shape."""

from http import HTTPStatus
from typing import Any

import uuid_utils
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.http11 import Response

from adapters.errors import GatewayError, InvalidRequest


class InvalidHandshake(InvalidRequest):
    """This is not a valid websocket handshake."""

    code = "invalid_handshake"


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """The whole head is there from the start, so that a handshake is decided at once."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.conn.reject = _rejection  # type: ignore[method-assign]  # all that the library refuses passes here

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.transport.is_closing():
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # a refusal is an end too: uvicorn would log an error


def _rejection(status: int, text: str) -> Response:
    error = InvalidHandshake() if status < 500 else GatewayError()
    error.status = int(status)
    body = error.body()
    headers = Headers(
        {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "x-request-id": uuid_utils.uuid7().hex,
            "connection": "close",
        }
    )
    return Response(error.status, HTTPStatus(status).phrase, headers, body)
