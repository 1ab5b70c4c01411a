"""Whose a request is, by its headers and its path alone."""

import pytest

from adapters.access.callers import LOCAL, NOBODY, Caller
from adapters.keys.errors import NotAuthorized
from adapters.keys.identity import KeyHolders, SeveralKeys
from adapters.keys.key import LENGTH, digest, new_secret, shown

KEY = new_secret().get_secret_value().encode()
OTHER = new_secret().get_secret_value().encode()
Headers = list[tuple[bytes, bytes]]


class Known:
    """Knows one key, and counts how often it is asked for another."""

    def __init__(self) -> None:
        self.asked = 0

    def get(self, hashed: bytes) -> Caller | None:
        return LOCAL if hashed == digest(KEY) else None

    async def find(self, hashed: bytes) -> Caller:
        self.asked += 1
        raise NotAuthorized


def holders(known: Known) -> KeyHolders:
    return KeyHolders(known, lambda path: NOBODY if path == "/open" else None)  # type: ignore[arg-type]  # as far as it is used


def scope(headers: Headers, path: str = "/v1/models") -> dict[str, object]:
    return {"type": "http", "path": path, "headers": headers}


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer " + KEY)],
        [(b"authorization", b"bEARER   " + KEY + b" ")],
        [(b"x-api-key", KEY)],
        [(b"authorization", b"Bearer " + KEY), (b"x-api-key", KEY)],
        [(b"authorization", b"Basic YTpi"), (b"x-api-key", KEY)],
        [(b"x-api-key", b""), (b"authorization", b"Bearer " + KEY)],
        [(b"sec-websocket-protocol", b"zephyr, key." + KEY)],
        [(b"sec-websocket-protocol", b"key." + KEY + b",zephyr")],
        [(b"sec-websocket-protocol", b"zephyr"), (b"sec-websocket-protocol", b"key." + KEY)],
    ],
)
def test_a_known_key_is_taken_at_once(headers: Headers) -> None:
    """By each way, with what proxies add beside it."""
    assert holders(Known()).known(scope(headers)) is LOCAL


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", KEY)],
        [(b"authorization", b"Basic " + KEY)],
        [(b"authorization", b"Bearer " + KEY[:-1])],
        [(b"authorization", b"Bearer " + KEY + b"A")],
        [(b"x-api-key", b"\xff" * 30_000)],
        [(b"cookie", b"key=" + KEY)],
        [(b"sec-websocket-protocol", KEY)],
    ],
)
async def test_what_cannot_be_a_key_is_refused_without_asking(headers: Headers) -> None:
    """Nor does it cost a hash of as much as a header may hold."""
    known = Known()
    assert holders(known).known(scope(headers)) is None
    with pytest.raises(NotAuthorized):
        await holders(known).find(scope(headers))
    assert known.asked == 0


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer " + KEY), (b"authorization", b"Bearer " + OTHER)],
        [(b"authorization", b"Bearer " + KEY), (b"x-api-key", OTHER)],
        [(b"sec-websocket-protocol", b"key." + KEY + b", key." + OTHER)],
        [(b"sec-websocket-protocol", b"key." + KEY), (b"x-api-key", OTHER)],
    ],
)
def test_two_keys_that_differ_are_nobodys(headers: Headers) -> None:
    """Though one of them is known, wherever it stands."""
    for order in (headers, headers[::-1]):
        with pytest.raises(SeveralKeys):
            holders(Known()).known(scope(order))


async def test_an_open_address_is_nobodys_and_asks_nothing() -> None:
    """A wrong key does no harm there."""
    known = Known()
    asked = scope([(b"x-api-key", OTHER)], "/open")
    assert holders(known).known(asked) is None
    assert await holders(known).find(asked) is NOBODY
    assert known.asked == 0


def test_a_key_is_long_random_and_masked() -> None:
    """Whoever prints it by mistake prints nothing of it."""
    secrets = [new_secret() for _ in range(100)]
    texts = {secret.get_secret_value() for secret in secrets}
    assert len(texts) == 100
    for secret in secrets:
        text = secret.get_secret_value()
        assert len(text) == LENGTH and text.startswith("sk-zephyr-")
        assert text[10:] not in f"{secret!r} {secret}"
        assert len(shown(secret)) == 14
