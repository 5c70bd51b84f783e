-- Frees an idempotency key whose request was not admitted; one that has a hold is ended together with that.
-- KEYS  1 claim (hash)   2 holds (sorted set: request id -> expiry)
-- ARGV  1 request id
-- Returns 1 if the key is free now, else 0
local id, done = unpack(redis.call('HMGET', KEYS[1], 'id', 'done'))
if id ~= ARGV[1] or done or redis.call('ZSCORE', KEYS[2], id) then return 0 end
return redis.call('DEL', KEYS[1])
