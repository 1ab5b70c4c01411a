"""What can go wrong with keys."""

from adapters.errors import GatewayError, InvalidRequest, NotFound


class NoSuchKey(NotFound):
    """There is no such key, or it is revoked."""

    code = "key_not_found"


class NotAuthorized(InvalidRequest):
    """Incorrect API key provided: it is unknown, has expired or was revoked."""

    status = 401
    code = "invalid_api_key"

    def headers(self) -> list[tuple[bytes, bytes]]:
        """How to say who one is (RFC 6750, section 3)."""
        return [(b"www-authenticate", b"Bearer")]


class KeysUnavailable(GatewayError):
    """Keys cannot be looked up now; try again shortly."""

    status = 503
    code = "keys_unavailable"
    retry_after = 5
