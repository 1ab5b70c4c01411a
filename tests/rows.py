"""Many exchanges at once, made by PostgreSQL: 50 callers with conversations of 10 exchanges each, evenly over time."""


def id_of(number: str) -> str:
    """SQL for the id of an exchange by its number (UUIDv7: milliseconds in the first 48 bits)."""
    moment = (
        f"extract(epoch FROM $1::timestamptz + ($2::timestamptz - $1::timestamptz) * ({number}) / $3::int)"
    )
    return f"(lpad(to_hex(({moment} * 1000)::bigint), 12, '0') || '70008' || lpad(to_hex({number}), 15, '0'))::uuid"


FILL = f"""
    INSERT INTO exchanges (id, conversation_id, parent_id, started_at, total_ms, caller, door, endpoint, model, outcome,
        metadata, parameters, input, answer, transcript_hash)
    SELECT {id_of("n")}, {id_of("n - 50 * turn")}, CASE WHEN turn > 0 THEN {id_of("n - 50")} END,
        $1 + ($2::timestamptz - $1) * n / $3::int, 1, 'caller ' || n % 50, 'openai', '/', 'm', 'completed', '{{}}', '{{}}',
        json_build_array(json_build_object('role', 'user', 'content', 'question ' || n)),
        json_build_array(json_build_object('index', 0, 'content', 'answer ' || n)), md5(n::text)::uuid
    FROM (SELECT n, n / 50 % 10 AS turn FROM generate_series(0, $3::int - 1) n) AS made"""
"""Takes the moments between which they were said, and how many there are to be."""
