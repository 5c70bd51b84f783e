-- Lists wallets of which a lot has expired, by Redis time.
-- KEYS  1 wallets with lots that expire (zset: wallet -> Unix ms)
-- ARGV  1 how many at the most
-- Returns a list of wallets
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
