"""What can go wrong with responses and conversations beside what can go wrong with any generation."""

from adapters.errors import Conflict, GatewayError, NotFound


class ResponseNotFound(NotFound):
    """There is no such response."""

    code = "not_found"


class ConversationNotFound(NotFound):
    """There is no such conversation."""

    code = "not_found"


class ItemNotFound(NotFound):
    """There is no such item."""

    code = "not_found"


class ConversationLocked(Conflict):
    """A response in this conversation is being made; try again when it is there."""

    code = "conversation_locked"
    retry_after: int | None = 1


class LeaseLost(GatewayError):
    """The gateway could not say for too long that it was still at work on this response."""

    status = 503
    code = "lease_lost"
    retry_after: int | None = 1


class HolderGone(GatewayError):
    """The gateway that made this response has ended before the response had."""

    code = "gateway_gone"
