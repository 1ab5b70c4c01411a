"""What a client that sends an `Idempotency-Key` can be told."""

from math import ceil

from adapters.errors import GatewayError, InvalidRequest, NotFound

HEADER = "Idempotency-Key"


class BadKey(InvalidRequest):
    """An Idempotency-Key is 1 to 255 printable ASCII characters, and is sent once."""

    code = "invalid_idempotency_key"


class KeyReused(InvalidRequest):
    """This Idempotency-Key was sent with another request; take a new key for a new request."""

    status = 422
    code = "idempotency_key_reused"


class NotRunning(NotFound):
    """No answer is being made for this Idempotency-Key, or not by this gateway."""

    code = "nothing_to_stop"


class StillRunning(InvalidRequest):
    """A request with this Idempotency-Key is being answered by another gateway; try again for its answer."""

    status = 409
    code = "idempotency_in_progress"

    def __init__(self, seconds: float) -> None:
        """Take the seconds after which the other one has gone on, or has ended without an answer."""
        super().__init__(param=HEADER)
        self.retry_after = max(1, ceil(seconds))


class AnswerTooLarge(GatewayError):
    """The answer is larger than can be kept for its Idempotency-Key."""

    code = "answer_too_large"
