-- Adds records to the ring of one app's refusals, and numbers of those that were counted only.
-- KEYS  1 ring (stream: field `refusal`, a record as JSON)   2 apps of the tag whose rings have something new (set)
--       3 unrecorded (hash: rule -> number)
-- ARGV  1 app   2 records that the ring keeps at most   3 life of ring and numbers without a new record, ms
--       4 n   then n pairs of a rule and a number that were counted only, then the records
-- Returns the length of the ring
local pairs_end = 4 + 2 * tonumber(ARGV[4])
for i = 5, pairs_end, 2 do redis.call('HINCRBY', KEYS[3], ARGV[i], ARGV[i + 1]) end
for i = pairs_end + 1, #ARGV do redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[2], '*', 'refusal', ARGV[i]) end
if pairs_end < #ARGV then redis.call('SADD', KEYS[2], ARGV[1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
return redis.call('XLEN', KEYS[1])
