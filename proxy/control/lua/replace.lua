-- Replaces one record, unless it changed since it was read. It expires when it would have.
-- KEYS  1 the record
-- ARGV  1 its JSON as it was read   2 its new JSON
-- Returns 1 if it was replaced, 0 if it has changed
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1
