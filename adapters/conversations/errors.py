"""What can go wrong with the log."""

from adapters.errors import GatewayError, InvalidRequest, NotFound


class LogUnavailable(GatewayError):
    """The conversation log cannot be written now, so nothing is generated; try again shortly."""

    status = 503
    code = "log_unavailable"
    retry_after: int | None = 5


class NotRecorded(LogUnavailable):
    """The answer could not be recorded in time: do not count on finding it in the log."""


class ExchangeNotFound(NotFound):
    """There is no such exchange or conversation."""

    code = "not_found"


class ExchangeRefused(LogUnavailable):
    """The conversation log could not take this exchange, and would not at another try."""

    status = 500
    code = "log_refused"
    retry_after = None


class ConversationTooLong(InvalidRequest):
    """This conversation is longer than can be continued."""

    code = "conversation_too_long"
