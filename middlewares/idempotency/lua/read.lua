-- Reads the response that is kept for a repetition.
-- KEYS  1 claim (hash)
-- ARGV  1 id of the request that has it
-- Returns the response; empty if it was dropped meanwhile
local id, response = unpack(redis.call('HMGET', KEYS[1], 'id', 'response'))
return id == ARGV[1] and response or ''
