"""Reading from a request's headers whose it is. A key is never taken from an address, which others log."""

from collections.abc import Callable

from starlette.types import Scope

from adapters.access.callers import LOCAL, Caller
from adapters.errors import InvalidRequest
from adapters.keys.errors import NotAuthorized
from adapters.keys.key import LENGTH, digest
from adapters.keys.known import KnownKeys

_SUBPROTOCOL_KEY = b"key."


class SeveralKeys(InvalidRequest):
    """This request holds several API keys: send one."""

    code = "several_api_keys"


class Anybody:
    """Where no keys are needed, everybody is the local user."""

    def known(self, _: Scope) -> Caller | None:
        """The local user."""
        return LOCAL

    async def find(self, _: Scope) -> Caller:
        """The local user."""
        return LOCAL


class KeyHolders:
    """Where keys are needed, a request is its key's."""

    def __init__(self, keys: KnownKeys, without_key: Callable[[str], Caller | None]) -> None:
        """`without_key` says who calls an address that needs no key; None of any other address."""
        self._keys = keys
        self._without_key = without_key

    def known(self, scope: Scope) -> Caller | None:
        """The caller, if that can be said without asking anybody.

        Raises:
            SeveralKeys: there is more than one key.
        """
        key = _key_of(scope)
        return None if key is None or len(key) != LENGTH else self._keys.get(digest(key))

    async def find(self, scope: Scope) -> Caller:
        """The caller, also at an address that needs no key.

        Raises:
            NotAuthorized: there is no key, or none that can be used.
            SeveralKeys: there is more than one.
            KeysUnavailable: nobody can tell now.
        """
        if (anyone := self._without_key(scope["path"])) is not None:
            return anyone
        key = _key_of(scope)
        if key is None:
            raise NotAuthorized(
                "You didn't provide an API key: send it as `Authorization: Bearer KEY`, or as `x-api-key`."
            )
        if len(key) != LENGTH:
            raise NotAuthorized
        return await self._keys.find(digest(key))


def _key_of(scope: Scope) -> bytes | None:
    """The key in a request's headers; None where there is none."""
    found: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = value.partition(b" ")
            key = key.strip() if scheme.lower() == b"bearer" else b""
        elif name == b"x-api-key":
            key = value.strip()
        elif name == b"sec-websocket-protocol":
            key = _offered(value)
        else:
            continue
        if key and found is not None and key != found:
            raise SeveralKeys
        found = key or found
    return found


def _offered(protocols: bytes) -> bytes:
    """The key among the protocols that a websocket offers: a page can set no other header of it."""
    offered = [one.strip() for one in protocols.split(b",")]
    keys = [one.removeprefix(_SUBPROTOCOL_KEY) for one in offered if one.startswith(_SUBPROTOCOL_KEY)]
    if len(set(keys)) > 1:
        raise SeveralKeys
    return keys[0] if keys else b""
