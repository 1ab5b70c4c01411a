"""Every refusal and failure a client can be told of, in the shape of OpenAI's API.

The shape is `{"error": {"message", "type", "param", "code"}}`
(https://platform.openai.com/docs/guides/error-codes); the /zephyr endpoints use it too.
"""

import json
from collections import Counter

told: Counter[tuple[int, str]] = Counter()
"""How often clients of this process were told of an error, by its status and code. Both are of this source alone."""


class GatewayError(Exception):
    """Something went wrong in the gateway."""

    status = 500
    type = "server_error"
    code: str | None = None
    retry_after: int | None = None
    """Seconds after which trying again makes sense; None where it does not."""

    def __init__(
        self, message: str | None = None, *, param: str | None = None, code: str | None = None
    ) -> None:
        self.message = message or (type(self).__doc__ or "").splitlines()[0]
        self.param = param
        if code is not None:
            self.code = code
        super().__init__(self.message)

    def detail(self) -> bytes:
        """The error itself, as a JSON object."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return json.dumps(error).encode()

    def body(self) -> bytes:
        """The JSON body of the error answer. Making it counts as telling a client."""
        told[self.status, self.code or self.type] += 1
        return b'{"error": ' + self.detail() + b"}"

    def event(self) -> bytes:
        """The same as a server-sent event, for a stream whose status line is already sent."""
        return b"data: " + self.body() + b"\n\n"

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers that tell a client, the OpenAI SDK among them, whether to try again."""
        if self.retry_after is not None:
            return [(b"retry-after", str(self.retry_after).encode())]
        if self.status >= 500:
            return [(b"x-should-retry", b"false")]
        return []


class InvalidRequest(GatewayError):
    """The request is not valid."""

    status = 400
    type = "invalid_request_error"


class NotFound(InvalidRequest):
    """There is nothing at this address."""

    status = 404


class Forbidden(InvalidRequest):
    """This request is not allowed."""

    status = 403
    type = "permission_error"


class Conflict(InvalidRequest):
    """Something else is going on here now; try again shortly."""

    status = 409


class TooLarge(InvalidRequest):
    """The request is larger than this server takes."""

    status = 413
    code = "request_too_large"


class UnsupportedMediaType(InvalidRequest):
    """Send the body as application/json."""

    status = 415
    code = "unsupported_media_type"


class Overloaded(GatewayError):
    """The server has as many requests open as it takes; try again in a moment."""

    status = 503
    code = "overloaded"

    def __init__(self, message: str | None = None, *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ShuttingDown(GatewayError):
    """The server is shutting down."""

    status = 503
    code = "shutting_down"
    retry_after = 5


class Cancelled(GatewayError):
    """The client cancelled this."""

    code = "cancelled"
