"""What tells one request from another: the key that it was given, and what was asked."""

import re
from uuid import UUID

from starlette.types import Scope

from adapters.conversations.naming import named
from adapters.idempotency.errors import HEADER, BadKey

_KIND = b"zephyr-asked-1"
_NAME = HEADER.lower().encode()
_KEY = re.compile(rb"[\x20-\x7e]{1,255}")


def key_of(scope: Scope) -> str | None:
    """The request's key; None where it has none.

    Raises:
        BadKey: it is none that is taken, or there are several.
    """
    keys = [value for name, value in scope["headers"] if name == _NAME]
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise BadKey(param=HEADER)
    key: bytes = keys[0]
    return key.decode()


def fingerprint_of(scope: Scope, body: bytes) -> UUID:
    """Names what was asked: two requests that differ in a byte have different ones."""
    content_type = b"".join(value for name, value in scope["headers"] if name == b"content-type")
    return named(_KIND, scope["path"].encode(), scope["query_string"], content_type, body)
