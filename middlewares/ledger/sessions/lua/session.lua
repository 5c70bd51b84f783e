-- Reads one session of a stream.
-- KEYS  1 session (string, JSON)
-- ARGV  none
-- Returns {now, Unix ms; session or nil}
local clock = redis.call('TIME')
return { clock[1] * 1000 + math.floor(clock[2] / 1000), redis.call('GET', KEYS[1]) }
