"""The scripts of `adapters.limits.valkey`: the arithmetic of `adapters.limits.state` once more, in Lua.

A server runs a script as a whole, and nothing beside it. Numbers are doubles there, which hold whole numbers up to 2^53
exactly: the largest bucket, a hundred million a minute, is two thirds of that.

KEYS are a hash and a sorted set for each subject: what it has used up, and the leases of what runs by their ends. ARGV
begins with the first moments of three months, of which the server's clock is in one, and five limits of each subject,
empty where there is none.
"""

_CURRENT = """
local MINUTE, DAY, KEPT = 60000000, 86400000000, 5356800
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local count = #KEYS / 2
local states, limits = {}, {}
for i = 1, count do
    local state = redis.call('HMGET', KEYS[2 * i - 1], 'at', 'requests', 'tokens', 'day_tokens', 'month_tokens')
    for field = 1, 5 do
        state[field] = tonumber(state[field] or 0)
    end
    states[i] = state
    now = math.max(now, state[1])
    limits[i] = {}
    for field = 1, 5 do
        limits[i][field] = tonumber(ARGV[3 + 5 * (i - 1) + field])
    end
end
local rest = 3 + 5 * count
local day, month = now - now % DAY, 0
for i = 1, 3 do
    if tonumber(ARGV[i]) <= now then
        month = tonumber(ARGV[i])
    end
end
local function drained(level, limit, time)
    if not limit then
        return 0
    end
    return math.max(0, level - limit * math.min(time, math.floor(level / limit) + 1))
end
local function keep(i, requests, tokens, day_tokens, month_tokens)
    redis.call('HSET', KEYS[2 * i - 1], 'at', now, 'requests', requests, 'tokens', tokens,
        'day_tokens', day_tokens, 'month_tokens', month_tokens)
    redis.call('EXPIRE', KEYS[2 * i - 1], KEPT)
end
local running = {}
for i = 1, count do
    local state = states[i]
    local at = state[1]
    state[2] = drained(state[2], limits[i][1], now - at)
    state[3] = drained(state[3], limits[i][2], now - at)
    state[4] = at >= day and state[4] or 0
    state[5] = at >= month and state[5] or 0
    redis.call('ZREMRANGEBYSCORE', KEYS[2 * i], '-inf', now)
    running[i] = redis.call('ZCARD', KEYS[2 * i])
end
"""

# further ARGV: tokens, lease, its time to live in microseconds
TAKE = f"""{_CURRENT}
local tokens, lease, lives = tonumber(ARGV[rest + 1]), ARGV[rest + 2], tonumber(ARGV[rest + 3])
local taken = 1
for i = 1, count do
    local state, limit = states[i], limits[i]
    if (limit[1] and state[2] + MINUTE > limit[1] * MINUTE)
        or (limit[2] and state[3] + tokens * MINUTE > limit[2] * MINUTE)
        or (limit[3] and running[i] >= limit[3])
        or (limit[4] and state[4] + tokens > limit[4])
        or (limit[5] and state[5] + tokens > limit[5]) then
        taken = 0
    end
end
local answer = {{taken, now}}
for i = 1, count do
    local state, limit = states[i], limits[i]
    for field = 2, 5 do
        answer[#answer + 1] = state[field]
    end
    answer[#answer + 1] = running[i]
    if taken == 1 then
        keep(i, limit[1] and state[2] + MINUTE or 0, limit[2] and state[3] + tokens * MINUTE or 0,
            state[4] + tokens, state[5] + tokens)
        if limit[3] then
            redis.call('ZADD', KEYS[2 * i], now + lives, lease)
            redis.call('PEXPIRE', KEYS[2 * i], math.ceil(lives / 1000))
        end
    end
end
return answer
"""

# further ARGV: lease, when it was taken, tokens reserved, tokens used, requests (0 or 1)
SETTLE = f"""{_CURRENT}
local taken_at, reserved, used = tonumber(ARGV[rest + 2]), tonumber(ARGV[rest + 3]), tonumber(ARGV[rest + 4])
local requests, since, owed = tonumber(ARGV[rest + 5]), math.max(0, now - taken_at), used - reserved
local function changed(level, limit, change)
    if not limit then
        return 0
    end
    if change >= 0 then
        return level + change * MINUTE
    end
    local back = -change * MINUTE
    return math.max(0, level - math.max(0, back - limit * math.min(since, math.floor(back / limit) + 1)))
end
for i = 1, count do
    local state, limit = states[i], limits[i]
    keep(i, changed(state[2], limit[1], requests - 1), changed(state[3], limit[2], owed),
        math.max(0, state[4] + (taken_at >= day and owed or 0)),
        math.max(0, state[5] + (taken_at >= month and owed or 0)))
    redis.call('ZREM', KEYS[2 * i], ARGV[rest + 1])
end
return 1
"""

# KEYS are sorted sets, ARGV a time to live in microseconds and a lease of each
RENEW = """
local clock = redis.call('TIME')
local now, lives = clock[1] * 1000000 + clock[2], tonumber(ARGV[1])
for i = 1, #KEYS do
    if redis.call('ZADD', KEYS[i], 'XX', 'CH', now + lives, ARGV[i + 1]) == 1 then
        redis.call('PEXPIRE', KEYS[i], math.ceil(lives / 1000))
    end
end
return 1
"""
