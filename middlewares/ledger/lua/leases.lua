-- Gives back the concurrency leases of a hold that stays open otherwise, until it is settled.
-- KEYS  1.. lease sets of the hold (zset: request id -> expiry, Unix ms)
-- ARGV  1 request id
-- Returns how many leases were given back
local count = 0
for i = 1, #KEYS do count = count + redis.call('ZREM', KEYS[i], ARGV[1]) end
return count
