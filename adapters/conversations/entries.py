"""What is made durable, by the writer or in the spool: exchanges, and the answers that are kept beside them."""

from typing import TypeAlias
from uuid import UUID

import msgspec

from adapters.conversations.errors import ExchangeRefused
from adapters.conversations.exchange import Exchange
from adapters.conversations.kept import KeptAnswer, place_of
from adapters.conversations.spool_file import Record

Entry: TypeAlias = Exchange | KeptAnswer

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Entry] = msgspec.msgpack.Decoder(Entry)


def encode(entry: Entry) -> bytes:
    """An entry for the spool."""
    return _encoder.encode(entry)


def decode(content: bytes) -> Entry:
    """An entry from the spool.

    Raises:
        ExchangeRefused: it is not whole.
    """
    try:
        return _decoder.decode(content)
    except msgspec.MsgspecError:
        raise ExchangeRefused from None


def identity(entry: Entry) -> UUID:
    """The entry's own id; ids tell the time."""
    return entry.id if isinstance(entry, Exchange) else entry.holder


def record(entry: Entry) -> Record:
    """An entry as the spool keeps it: an exchange is found by its conversation too, an answer by its key."""
    if isinstance(entry, Exchange):
        return Record(entry.id, entry.conversation_id, encode(entry))
    return Record(entry.holder, place_of(entry.caller, entry.key), encode(entry))
