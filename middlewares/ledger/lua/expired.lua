-- Lists holds that have expired, by Redis time.
-- KEYS  1 holds (zset: request id -> expiry, Unix ms)   2 bodies (hash: request id -> hold)
-- ARGV  1 how many at the most
-- Returns {now ms, request id, body, request id, body, ...}; an expiry without a body is removed
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local found = { now }
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local body = redis.call('HGET', KEYS[2], id)
  if body then
    found[#found + 1] = id
    found[#found + 1] = body
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return found
