"""Keys that are taken, and what makes two requests the same."""

import pytest
from starlette.types import Scope

from adapters.idempotency.asked import fingerprint_of, key_of
from adapters.idempotency.errors import BadKey


def asked(*headers: tuple[bytes, bytes], path: str = "/v1/chat/completions", query: bytes = b"") -> Scope:
    return {"path": path, "query_string": query, "headers": [(b"host", b"localhost"), *headers]}


@pytest.mark.parametrize("key", ["k", " ", "~" * 255, "8e03978e-40d5-43e8-bc93-6894a57f9324"])
def test_printable_keys_are_taken(key: str) -> None:
    assert key_of(asked((b"idempotency-key", key.encode()))) == key


@pytest.mark.parametrize(
    "key", [b"", b"k" * 256, b"\x7f", b"a\tb", "ä".encode(), "ä".encode("latin-1"), b"k\n"]
)
def test_others_are_refused_by_name(key: bytes) -> None:
    with pytest.raises(BadKey) as caught:
        key_of(asked((b"idempotency-key", key)))
    assert (caught.value.status, caught.value.param) == (400, "Idempotency-Key")


def test_two_keys_are_refused() -> None:
    with pytest.raises(BadKey):
        key_of(asked((b"idempotency-key", b"a"), (b"idempotency-key", b"a")))


def test_a_request_without_one_has_none() -> None:
    assert key_of(asked()) is None


def test_a_byte_makes_another_request() -> None:
    """Also one that moves from one part to the next; other headers make none."""
    json = (b"content-type", b"application/json")
    different = [
        fingerprint_of(asked(json), b"{}"),
        fingerprint_of(asked(json), b"{} "),
        fingerprint_of(asked(json, path="/v1/completions"), b"{}"),
        fingerprint_of(asked(json, query=b"a=1"), b"{}"),
        fingerprint_of(asked(json, query=b"a=1{"), b"}"),
        fingerprint_of(asked((b"content-type", b"application/x-ndjson")), b"{}"),
        fingerprint_of(asked(), b"{}"),
    ]
    assert len(set(different)) == len(different)
    assert fingerprint_of(asked(json, (b"x-other", b"1")), b"{}") == different[0]
