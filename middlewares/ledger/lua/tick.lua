-- Moves a live session on: ends its hold and opens the next in the same moment, so that it is never without and never
-- holds twice. Stands behind `settle` and `admit`, which are settle.lua and admit.lua as functions.
--
-- KEYS  1 session (string)   then leases, those of settle.lua, those of admit.lua
-- ARGV  1 the session as it was read (empty: there was none)   2 what it becomes if it is admitted   3 its life, ms
--       4 number of leases, sets in which a request gives up its slot to the session   5 its id
--       6 7 number of KEYS and ARGV of settle.lua; 0: there is no hold to end
--       then the ARGV of settle.lua, then those of admit.lua; none of these: the session is over
-- Returns {-2} it is not as it was read, and nothing was done   {-3} it is over
--         else what admit.lua returns; one that is refused is over, too
local function slice(list, first, last)
  local out = {}
  for i = first, last do out[#out + 1] = list[i] end
  return out
end

if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return { -2 } end
local leases, keys, args = tonumber(ARGV[4]), tonumber(ARGV[6]), tonumber(ARGV[7])
for i = 2, leases + 1 do redis.call('ZREM', KEYS[i], ARGV[5]) end
keys, args = keys + leases + 1, args + 7
if keys > leases + 1 then settle(slice(KEYS, leases + 2, keys), slice(ARGV, 8, args)) end
local answer = { -3 }
if #ARGV > args then answer = admit(slice(KEYS, keys + 1, #KEYS), slice(ARGV, args + 1, #ARGV)) end
if answer[1] == 1 then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
else
  redis.call('DEL', KEYS[1])
end
return answer
