-- Calls back the shares of a limit that has refused somebody: nobody takes one for a while, and who has one gives it back.
-- KEYS  1 the key of the rule   2 of a balance: the user's wallet, which is asked in place of the app's if there is one
-- ARGV  1 milliseconds for which nobody takes one
-- Returns how many workers have a share of it
local key = KEYS[2] and redis.call('EXISTS', KEYS[2]) == 1 and KEYS[2] or KEYS[1]
local list, now, count = redis.call('HGETALL', beside(key, 'shares')), redis.call('TIME'), 0
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
for i = 2, #list, 2 do
  if tonumber(list[i]) > now_ms then count = count + 1 end
end
redis.call('SET', beside(key, 'wanted'), '1', 'PX', ARGV[1])
return count
