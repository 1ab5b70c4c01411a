"""Reading a request's body, as much of it as the settings allow."""

from starlette.types import Receive, Scope

from adapters.access.client import ClientGone
from adapters.errors import InvalidRequest, TooLarge, UnsupportedMediaType
from adapters.settings import ServerSettings


class TooSlow(InvalidRequest):
    """The request did not arrive in time."""

    status = 408
    code = "request_timeout"


async def read_body(receive: Receive, settings: ServerSettings) -> bytes:
    """The whole body. How long it may take is the protocol's affair.

    Raises:
        TooLarge: it is larger than the limit.
        ClientGone: the client went away before its end, or was too slow.
    """
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece: bytes = message.get("body", b"")
        pieces.append(piece)
        size += len(piece)
        if size > settings.max_body_bytes:
            raise TooLarge(f"The request body is larger than {settings.max_body_bytes} bytes.")
        if not message.get("more_body", False):
            return piece if len(pieces) == 1 else b"".join(pieces)


def check_content_type(scope: Scope) -> None:
    """Refuse a body that does not say it is JSON.

    Raises:
        UnsupportedMediaType: it says it is something else, or nothing.
    """
    for name, value in scope["headers"]:
        if name == b"content-type":
            if value.partition(b";")[0].strip().lower() == b"application/json":
                return
            break
    raise UnsupportedMediaType(param="content-type")
