"""What every table has in common: the declarative base and how constraints are named."""

from typing import Any

from sqlalchemy import Dialect, MetaData
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import UserDefinedType

_NAMES = {
    "pk": "pk_%(table_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
}


class Base(DeclarativeBase):
    """The base of every table."""

    metadata = MetaData(naming_convention=_NAMES)


class JsonText(UserDefinedType[bytes]):
    """JSON kept as the text it came in: type `json`, because `jsonb` drops duplicate keys and refuses `\\u0000`."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The column's type in SQL."""
        return "JSON"

    def bind_processor(self, dialect: Dialect) -> Any:
        """Take in the bytes of an exchange."""
        return lambda text: None if text is None else text.decode()

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Hand texts out as the bytes of an exchange."""
        return lambda text: None if text is None else text.encode()
