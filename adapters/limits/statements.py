"""The statements of `adapters.limits.repository`: the arithmetic of `adapters.limits.state` once more, in SQL.

Each is one statement and so one transaction. It locks the rows of its subjects in the order of their names, so that no
two wait for each other, and what follows reads the locked rows as they were when the lock was had, not as they were
when the statement began. A commit here is not waited for on the disk: a crash of PostgreSQL may forget what was counted
in its last half second or so, which gives more, never less.
"""

_LOCKED = """
    locked AS MATERIALIZED (
        SELECT s.* FROM limit_states s WHERE s.subject = ANY ($1::text[]) ORDER BY s.subject FOR UPDATE
    ), clock AS MATERIALIZED (
        SELECT now, now - now % 86400000000 AS day,
               extract(epoch FROM date_trunc('month', to_timestamp(now / 1000000), 'UTC'))::bigint * 1000000 AS month,
               set_config('synchronous_commit', 'off', true)
        FROM (
            SELECT greatest((extract(epoch FROM clock_timestamp()) * 1000000)::bigint, max(at)) AS now FROM locked
        ) AS latest
    ), limits AS MATERIALIZED (
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
            AS l (subject, per_minute, tokens_per_minute, places, per_day, per_month)
    ), current AS MATERIALIZED (
        SELECT l.*, c.*, live.ids, live.ends, cardinality(live.ids) AS running,
               CASE WHEN l.per_minute IS NULL THEN 0 ELSE greatest(
                   s.requests - l.per_minute * least(c.now - s.at, s.requests / l.per_minute + 1), 0) END AS requests,
               CASE WHEN l.tokens_per_minute IS NULL THEN 0 ELSE greatest(
                   s.tokens - l.tokens_per_minute * least(c.now - s.at, s.tokens / l.tokens_per_minute + 1), 0)
               END AS tokens,
               CASE WHEN s.at >= c.day THEN s.day_tokens ELSE 0 END AS day_tokens,
               CASE WHEN s.at >= c.month THEN s.month_tokens ELSE 0 END AS month_tokens
        FROM locked s JOIN limits l USING (subject) CROSS JOIN clock c CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(id), '{}') AS ids, coalesce(array_agg(ends), '{}') AS ends
            FROM unnest(s.leases, s.lease_ends) AS lease (id, ends)
            WHERE lease.ends > c.now
        ) AS live
    )"""

# $7 tokens, $8 lease, $9 its time to live
TAKE = f"""
    WITH {_LOCKED}, verdict AS MATERIALIZED (
        SELECT count(*) = cardinality($1) AND bool_and(
            (per_minute IS NULL OR requests + 60000000 <= per_minute * 60000000)
            AND (tokens_per_minute IS NULL OR tokens + $7::bigint * 60000000 <= tokens_per_minute * 60000000)
            AND (places IS NULL OR running < places)
            AND (per_day IS NULL OR day_tokens + $7 <= per_day)
            AND (per_month IS NULL OR month_tokens + $7 <= per_month)
        ) AS taken
        FROM current
    ), changed AS (
        UPDATE limit_states s
        SET at = c.now,
            requests = c.requests + CASE WHEN per_minute IS NULL THEN 0 ELSE 60000000 END,
            tokens = c.tokens + CASE WHEN tokens_per_minute IS NULL THEN 0 ELSE $7 * 60000000 END,
            day_tokens = c.day_tokens + $7,
            month_tokens = c.month_tokens + $7,
            leases = CASE WHEN places IS NULL THEN ids ELSE ids || $8::uuid END,
            lease_ends = CASE WHEN places IS NULL THEN ends ELSE ends || (c.now + $9::bigint) END
        FROM current c, verdict
        WHERE s.subject = c.subject AND verdict.taken
    )
    SELECT subject, now AS at, requests, tokens, day_tokens, month_tokens, running, taken
    FROM current CROSS JOIN verdict"""  # noqa: S608  # no value is part of it

# $7 lease, $8 when it was taken, $9 tokens reserved, $10 tokens used, $11 requests (0 or 1)
SETTLE = f"""
    WITH {_LOCKED}, change AS MATERIALIZED (
        SELECT subject, $10::bigint - $9::bigint AS owed,
               CASE WHEN $11::bigint = 1 OR per_minute IS NULL THEN 0 ELSE
                   greatest(60000000 - per_minute * greatest(least(now - $8::bigint, 60000001), 0), 0) END AS requests_back,
               CASE WHEN tokens_per_minute IS NULL OR $10 >= $9 THEN 0 ELSE greatest(
                   ($9 - $10) * 60000000
                   - tokens_per_minute * greatest(least(
                       now - $8, ($9 - $10) * 60000000 / tokens_per_minute + 1), 0), 0)
               END AS tokens_back,
               CASE WHEN tokens_per_minute IS NULL OR $10 <= $9 THEN 0 ELSE ($10 - $9) * 60000000 END AS tokens_more
        FROM current
    )
    UPDATE limit_states s
    SET at = c.now,
        requests = greatest(c.requests - requests_back, 0),
        tokens = greatest(c.tokens + tokens_more - tokens_back, 0),
        day_tokens = greatest(c.day_tokens + CASE WHEN $8 >= c.day THEN owed ELSE 0 END, 0),
        month_tokens = greatest(c.month_tokens + CASE WHEN $8 >= c.month THEN owed ELSE 0 END, 0),
        leases = kept.ids,
        lease_ends = kept.ends
    FROM current c JOIN change USING (subject) CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(id), '{{}}') AS ids, coalesce(array_agg(ends), '{{}}') AS ends
        FROM unnest(c.ids, c.ends) AS lease (id, ends)
        WHERE lease.id <> $7::uuid
    ) AS kept
    WHERE s.subject = c.subject
    RETURNING s.subject"""  # noqa: S608  # no value is part of it

# $1 subjects, $2 leases, one of each, $3 their time to live
RENEW = """
    WITH locked AS MATERIALIZED (
        SELECT s.* FROM limit_states s WHERE s.subject = ANY ($1::text[]) ORDER BY s.subject FOR UPDATE
    ), clock AS MATERIALIZED (
        SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now,
               set_config('synchronous_commit', 'off', true)
        FROM (SELECT count(*) FROM locked) AS all_locked
    ), held AS MATERIALIZED (
        SELECT * FROM unnest($1::text[], $2::uuid[]) AS h (subject, id)
    )
    UPDATE limit_states s
    SET lease_ends = renewed.ends
    FROM locked l CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(
            CASE WHEN held.id IS NULL THEN lease.ends ELSE clock.now + $3::bigint END ORDER BY lease.place), '{}') AS ends
        FROM clock CROSS JOIN unnest(l.leases, l.lease_ends) WITH ORDINALITY AS lease (id, ends, place)
        LEFT JOIN held ON held.subject = l.subject AND held.id = lease.id
    ) AS renewed
    WHERE s.subject = l.subject"""

BEGIN = """
    INSERT INTO limit_states (subject, at, requests, tokens, day_tokens, month_tokens)
    SELECT subject, 0, 0, 0, 0, 0 FROM unnest($1::text[]) AS s (subject) ORDER BY subject
    ON CONFLICT (subject) DO NOTHING"""

# $1 so many microseconds, $2 at most so many rows
FORGET = """
    WITH idle AS MATERIALIZED (
        SELECT subject FROM limit_states
        WHERE at < (extract(epoch FROM now()) * 1000000)::bigint - $1::bigint
        ORDER BY subject LIMIT $2 FOR UPDATE SKIP LOCKED
    )
    DELETE FROM limit_states s USING idle WHERE s.subject = idle.subject"""
