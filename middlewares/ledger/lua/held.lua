-- Tells whether a request still has its hold.
-- KEYS  1 holds (sorted set: request id -> expiry)
-- ARGV  1 request id
-- Returns 1 or 0
return redis.call('ZSCORE', KEYS[1], ARGV[1]) and 1 or 0
