-- Moves a session of a stream on: ends its hold and opens the next at once, so that it has one hold at any time.
-- `scripts.py` puts settle.lua and admit.lua before it as the functions `settle` and `admit`. What it decides is in
-- Python in `sessions/session.py`; its twin in property tests is the model of tests/live.
--
-- KEYS  1 session (string)   then leases, those of settle.lua, those of admit.lua
-- ARGV  1 the session as it was read (empty: there was none)   2 what it becomes if it is admitted
--       3 milliseconds for which it is kept   4 number of leases that a request leaves to the session
--       5 that request's id
--       6 7 number of KEYS and ARGV of settle.lua; 0: there is no hold to end
--       then the ARGV of settle.lua, then those of admit.lua; none of these: the session is over
-- Returns {-2} it is not as it was read, and nothing was done   {-3} it is over
--         else what admit.lua returns; a session that is refused is over, too
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return { -2 } end
local leases, keys, args = tonumber(ARGV[4]), tonumber(ARGV[6]), tonumber(ARGV[7])
for i = 2, leases + 1 do redis.call('ZREM', KEYS[i], ARGV[5]) end
keys, args = keys + leases + 1, args + 7
if keys > leases + 1 then settle(slice(KEYS, leases + 2, keys), slice(ARGV, 8, args)) end
local reply = { -3 }
if #ARGV > args then reply = admit(slice(KEYS, keys + 1, #KEYS), slice(ARGV, args + 1, #ARGV)) end
if reply[1] == 1 then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
else
  redis.call('DEL', KEYS[1])
end
return reply
