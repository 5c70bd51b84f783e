-- Takes a nonce back: whoever is first has it.
-- KEYS  1 sorted set of all nonces   2 the nonce, whose value is the name of its client's sorted set, in the same slot
-- ARGV  1 nonce
-- Returns the time in Unix milliseconds, or nil if the nonce is unknown, used or over
local of_client = redis.call('GETDEL', KEYS[2])
if not of_client then return nil end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZREM', of_client, ARGV[1])
local clock = redis.call('TIME')
return clock[1] * 1000 + math.floor(clock[2] / 1000)
