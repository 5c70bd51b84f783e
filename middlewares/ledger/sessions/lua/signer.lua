-- Admits a session that a remote signer pays for, or lets it go on: it has its place of the concurrency until it is not
-- asked about any more. `scripts.py` puts admit.lua before it as the function `admit`, whose hold it is.
--
-- KEYS  1 holds (zset: session's hold -> expiry)   then leases (zset) of that hold   then those of admit.lua
-- ARGV  1 '1': only if the session is known (its windows have counted it)   2 number of leases
--       then those of admit.lua; its hold is the session's
-- Returns {-2} it is not known, and nothing was done   else what admit.lua returns; a session that is refused keeps the
--         leases it had until they expire
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local id, leases, had = ARGV[3], tonumber(ARGV[2]), {}
local expiry = tonumber(redis.call('ZSCORE', KEYS[1], id) or 0)
if ARGV[1] == '1' and expiry <= now then return { -2 } end
for i = 2, leases + 1 do
  had[i] = redis.call('ZSCORE', KEYS[i], id) or nil
  redis.call('ZREM', KEYS[i], id) -- it does not count against itself
end
local reply = admit(slice(KEYS, leases + 2, #KEYS), slice(ARGV, 3, #ARGV))
if reply[1] ~= 1 then
  for i, score in pairs(had) do redis.call('ZADD', KEYS[i], score, id) end
end
return reply
