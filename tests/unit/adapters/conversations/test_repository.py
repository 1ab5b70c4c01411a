"""What is sent to PostgreSQL for an exchange."""

import re
from uuid import uuid4

import pytest
from uuid_utils.compat import uuid7

from adapters.conversations.exchange import Exchange, Outcome
from adapters.conversations.pairs import hashed
from adapters.conversations.repository import as_written, branch_of, insert_statement, row
from tests.records import an_exchange

_USED_UP = {"follows", "earlier"}
"""What an exchange brings along for the moment in which it is written."""


def test_values_stand_in_the_order_of_the_statement() -> None:
    """Every field of an exchange is inserted, each under its own name, and then what it is found by."""
    found = re.search(r"INSERT INTO exchanges \(([^)]*)\)", insert_statement())
    assert found is not None
    names = found[1].split(", ")
    follows = uuid4()
    exchange = an_exchange(metadata=b'{"a": 1}', input=b'["b"]', earlier=b'["a"]', follows=follows)
    assert set(names) == set(Exchange.__struct_fields__) - _USED_UP | {"metadata_pairs", "words"}
    *values, pairs, words, followed, whole = row(exchange)
    assert names[-2:] == ["metadata_pairs", "words"]
    assert words == "b\nHi"
    for name, value in zip(names[:-2], values, strict=True):
        written = getattr(exchange, name)
        assert value == (written.decode() if isinstance(written, bytes) else written)
    assert (pairs, followed, whole) == (None, follows, '["a","b"]')


def test_pairs_are_indexed_where_they_can_be_asked_for() -> None:
    """Of stored exchanges that have any."""
    metadata = b'{"a": "1", "b": "\\u0000"}'
    stored = row(an_exchange(stored=True, metadata=metadata))[-4]
    assert stored == hashed("local", {"a": "1", "b": "\0"})
    assert row(an_exchange(stored=True))[-4] is None
    assert row(an_exchange(metadata=metadata))[-4] is None


@pytest.mark.parametrize(
    ("earlier", "input", "written"),
    [
        (None, b'["new"]', b'["new"]'),
        (b'["a", "b"]', b'["new"]', b'["a", "b","new"]'),
        (b'["a"]', b"[]", b'["a"]'),
        (None, b"[]", b"[]"),
        (None, b'"a prompt"', b'"a prompt"'),
    ],
)
def test_what_a_client_repeated_is_written_in_front(
    earlier: bytes | None, input: bytes, written: bytes
) -> None:
    assert as_written(an_exchange(earlier=earlier, input=input)).input == written


def test_branch_leads_from_the_first_to_the_one_asked_for() -> None:
    """Siblings are left out; of a conversation the branch of the newest answer is meant."""
    first, second, third = uuid7(), uuid7(), uuid7()
    held = {
        first: an_exchange(id=first),
        second: an_exchange(id=second, conversation_id=first, parent_id=first),
        third: an_exchange(id=third, conversation_id=first, parent_id=first, outcome=Outcome.FAILED),
    }
    assert [one.id for one in branch_of(held, third)] == [first, third]
    assert [one.id for one in branch_of(held, first)] == [first]
    assert [one.id for one in branch_of({key: held[key] for key in (second, third)}, first)] == [second]
    assert branch_of({}, first) == []
