"""What can go wrong with the log."""

from adapters.errors import GatewayError, NotFound


class LogUnavailable(GatewayError):
    """The conversation log cannot be written now, so nothing is generated; try again shortly."""

    status = 503
    code = "log_unavailable"
    retry_after = 5


class ExchangeNotFound(NotFound):
    """There is no such exchange or conversation."""

    code = "not_found"
