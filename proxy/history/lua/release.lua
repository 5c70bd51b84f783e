-- Gives up a lease.
-- KEYS  1 lease (string: its owner)
-- ARGV  1 owner
-- Returns 1 if it was this owner's, else 0
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
