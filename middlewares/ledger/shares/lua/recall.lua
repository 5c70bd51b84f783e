-- Calls back the shares of a limit that has refused somebody: nobody takes one for a while, and who has one gives it back.
-- KEYS  1 the key of the rule
-- ARGV  1 milliseconds for which nobody takes one
-- Returns how many workers have a share of it
local list, now, count = redis.call('HGETALL', beside(KEYS[1], 'shares')), redis.call('TIME'), 0
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
for i = 2, #list, 2 do
  if tonumber(list[i]) > now_ms then count = count + 1 end
end
redis.call('SET', beside(KEYS[1], 'wanted'), '1', 'PX', ARGV[1])
return count
