-- Claims an idempotency key for a request, or tells what became of the one that has it. Its twin in property tests is
-- the model in tests/idempotency/test_claim_life.py.
--
-- A claim that is not done belongs to a living request as long as that has a hold, or its entry has one; before it is
-- admitted, for a bounded time. settle.lua ends a claim together with its hold: it is done, or free again.
--
-- KEYS  1 claim (hash: id of the request, since Unix ms, done '1', fingerprint, response)
--       2 holds (sorted set: request id -> expiry)
-- ARGV  1 request id   2 ms that a request may take to be admitted   3 ms for which an open claim is kept
--       4 what follows the request's id in the id of its entry
-- Returns {1} claimed   {0, ms since it was claimed} by a request that is in flight
--         {2, request id, fingerprint, 1: its response is kept, 0: it is not} its work is done; an empty fingerprint:
--         that is not known
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local id, since, done, fingerprint = unpack(redis.call('HMGET', KEYS[1], 'id', 'since', 'done', 'fingerprint'))
if done then return { 2, id, fingerprint or '', redis.call('HEXISTS', KEYS[1], 'response') } end
if id then
  local age = now - tonumber(since)
  local alive = redis.call('ZSCORE', KEYS[2], id) or redis.call('ZSCORE', KEYS[2], id .. ARGV[4])
  if alive or age < tonumber(ARGV[2]) then return { 0, math.max(0, age) } end
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'since', string.format('%d', now))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return { 1 }
