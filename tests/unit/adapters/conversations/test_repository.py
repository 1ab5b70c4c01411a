"""What is sent to PostgreSQL for an exchange."""

import re

from adapters.conversations.exchange import Exchange
from adapters.conversations.repository import insert_statement, row
from tests.records import an_exchange


def test_values_stand_in_the_order_of_the_statement() -> None:
    """Every field of an exchange is inserted, each under its own name."""
    found = re.match(r"INSERT INTO exchanges \(([^)]*)\)", insert_statement())
    assert found is not None
    names = found[1].split(", ")
    exchange = an_exchange(metadata=b'{"a": 1}')
    assert set(names) == set(Exchange.__struct_fields__)
    for name, value in zip(names, row(exchange), strict=True):
        written = getattr(exchange, name)
        assert value == (written.decode() if isinstance(written, bytes) else written)
