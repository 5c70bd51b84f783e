-- Reads one record.
-- KEYS  1 the record
-- Returns its JSON, or nil if there is none
return redis.call('GET', KEYS[1])
