-- Lists, adds or removes the BYOC streams of a hash tag that Tollgate ticks.
-- KEYS  1 streams (hash: stream id -> JSON)
-- ARGV  1 stream id   2 its JSON; only the first: remove it; neither: list them
-- Returns a list of stream id, JSON, ...; or how many were added or removed
if #ARGV == 0 then return redis.call('HGETALL', KEYS[1]) end
if #ARGV == 1 then return redis.call('HDEL', KEYS[1], ARGV[1]) end
return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
