-- Issues a nonce, unless too many wait to be used.
-- KEYS  1 sorted set of all nonces by their end, in Unix milliseconds   2 the same of one client   3 the nonce
-- ARGV  1 nonce   2 its life in milliseconds   3 most nonces of all clients   4 most nonces of one client
-- Returns the time of issue in Unix milliseconds; -1 for too many of this client, -2 for too many of all
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for i = 1, 2 do redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now) end
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[4]) then return -1 end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return -2 end
for i = 1, 2 do
  redis.call('ZADD', KEYS[i], now + ARGV[2], ARGV[1])
  redis.call('PEXPIRE', KEYS[i], ARGV[2])
end
redis.call('SET', KEYS[3], KEYS[2], 'PX', ARGV[2])
return now
