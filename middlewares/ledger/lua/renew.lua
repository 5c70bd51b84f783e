-- Extends one hold and its concurrency leases, if the hold is there still.
-- KEYS  1 holds (zset: request id -> expiry, Unix ms)   2.. lease sets of the hold, likewise
-- ARGV  1 request id   2 hold time, ms
-- Returns 1 extended, 0 there is no such hold
local clock = redis.call('TIME')
local expiry = clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(ARGV[2])
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], 'XX', expiry, ARGV[1])
for i = 2, #KEYS do
  redis.call('ZADD', KEYS[i], expiry, ARGV[1])
end
return 1
