"""What the gateway of each revision has written: SQL that fills every table and column that was new then.

Values are as the code of that time made them: texts as JSON that PostgreSQL keeps word for word, ids as UUIDv7. `{id}`
is the id of an exchange by its number: of other months than this as well, before and after.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

_NOW = datetime.now(UTC)
_MONTH = timedelta(days=31)
MOMENTS = (
    _NOW - 7 * _MONTH,
    _NOW - _MONTH,
    _NOW - timedelta(hours=1),
    _NOW,
    _NOW + _MONTH,
    _NOW + 4 * _MONTH,
)


def id_at(number: int) -> UUID:
    """The id of one exchange of many, spread over the moments."""
    moment = MOMENTS[number % len(MOMENTS)]
    return UUID(int=(int(moment.timestamp() * 1000) << 80) | (0x7 << 76) | (0x2 << 62) | number)


_EXCHANGE = """
    INSERT INTO exchanges (id, conversation_id, parent_id, started_at, total_ms, first_token_ms, prompt_tokens, cached_tokens,
        completion_tokens, caller, door, endpoint, model, fingerprint, outcome, finish_reason, error, metadata, parameters,
        input, answer{more}) VALUES ('{id}', '{first}', {parent}, '{at}', 40.25, 12.5, 9, 3, 2, '{caller}', 'openai',
        '/v1/chat/completions', 'a-model', 'fp', '{outcome}', 'stop', {error}, '{{"a": "b", "a": "c"}}', '{{"n": 1}}',
        '[{{"role": "user", "content": "question {number} \\u0000 \\ud83d ü"}}]', '[{{"content": "{answer}"}}]'{values})"""
_OUTCOMES = ("completed", "length", "failed", "cancelled", "client_gone")
_LONG = "a long answer, which is compressed and kept beside its row " * 200


def an_exchange(number: int, *, more: str = "", values: str = "", parent: int | None = None) -> str:
    """The SQL for one exchange of many; `more` and `values` are columns that came later."""
    return _EXCHANGE.format(
        id=id_at(number),
        first=id_at(number if parent is None else parent),
        parent="NULL" if parent is None else f"'{id_at(parent)}'",
        at=MOMENTS[number % len(MOMENTS)],
        caller=f"caller {number % 2}",
        outcome=_OUTCOMES[number % len(_OUTCOMES)],
        error="NULL"
        if number % 5
        else '\'{"message": "m", "type": "server_error", "param": null, "code": "engine_failed"}\'',
        number=number,
        answer=_LONG if number % 7 == 0 else f"answer {number}",
        more=f", {more}" if more else "",
        values=f", {values}" if values else "",
    )


def _exchanges(first: int, more: str = "", values: str = "") -> tuple[str, ...]:
    return (
        *(
            an_exchange(number, more=more, values=values.format(number=number))
            for number in range(first, first + 12)
        ),
        an_exchange(first + 12, more=more, values=values.format(number=first + 12), parent=first),
    )


_HASHED = "md5('transcript {number}')::uuid, true"
_PAIRED = _HASHED + ", now(), ARRAY[md5('pair {number}')::uuid]"
_WORDED = _PAIRED + ", to_tsvector('simple', 'question {number}')"
_TO_0002 = "transcript_hash, stored"
_TO_0004 = f"{_TO_0002}, deleted_at, metadata_pairs"
_TO_0007 = f"{_TO_0004}, words"

WRITTEN: dict[str, tuple[str, ...]] = {
    "0001": _exchanges(0),
    "0002": _exchanges(20, _TO_0002, _HASHED),
    "0003": (
        f"""INSERT INTO idempotent_answers (fingerprint, exchange_id, holder, expires_at, caller, key, answer) VALUES
            (md5('f')::uuid, '{id_at(20)}', md5('h')::uuid, now() + interval '1 day', 'caller 0', 'kept', '\\x0a0b'),
            (md5('g')::uuid, '{id_at(21)}', md5('i')::uuid, now() + interval '10 s', 'caller 0', 'claimed', NULL)""",
    ),
    "0004": _exchanges(40, _TO_0004, _PAIRED),
    "0005": (
        f"""INSERT INTO conversations (id, created_at, caller, metadata, hidden) VALUES
            ('{id_at(40)}', now(), 'caller 0', '{{"ticket": "17"}}', ARRAY['msg_1'])""",
        f"""INSERT INTO conversation_items (id, conversation_id, item) VALUES
            ('{id_at(60)}', '{id_at(40)}', '{{"type": "message"}}')""",
        f"""INSERT INTO open_responses (id, conversation_id, lease_until, background, started, cancel_requested, caller, model,
            metadata, parameters, input, error) VALUES ('{id_at(61)}', '{id_at(40)}', now(), true, true, false, 'caller 0', 'm',
            '{{}}', '{{}}', '[]', '{{"code": "gateway_gone"}}')""",
        f"""INSERT INTO response_events (response_id, first, last, caller, events) VALUES
            ('{id_at(61)}', 0, 3, 'caller 0', '[{{"type": "response.created"}}]')""",
    ),
    "0006": _exchanges(80, _TO_0004, _PAIRED),
    "0007": (
        *_exchanges(100, _TO_0007, _WORDED),
        f"""INSERT INTO feedback (exchange_id, caller, given_at, preferred_over, rating, comment) VALUES
            ('{id_at(100)}', 'caller 0', now(), '{id_at(101)}', -1, 'no')""",
    ),
    "0008": (
        """INSERT INTO tenants (name, weight, limits) VALUES ('alice', 2, '{"requests_per_minute": 60}')""",
        f"""INSERT INTO keys (id, created_at, expires_at, revoked_at, former_until, tenant, name, prefix, scopes, hash,
            former_hash, limits) VALUES ('{id_at(120)}', now(), now(), now(), now(), 'alice', 'ci', 'sk-zephyr-ab',
            ARRAY['generate', 'read'], sha256('now'), sha256('before'), '{{}}')""",
    ),
    "0009": (
        """INSERT INTO limit_states (at, requests, tokens, day_tokens, month_tokens, subject, leases, lease_ends) VALUES
            (1, 2, 3, 4, 5, 'tenant:alice', ARRAY[md5('lease')::uuid], ARRAY[6])""",
    ),
    "0010": (
        f"""INSERT INTO conversation_titles (conversation_id, caller, title) VALUES ('{id_at(100)}', 'caller 0', 'A title')""",
    ),
}
