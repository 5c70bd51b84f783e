-- Writes what has left one wallet because its lot has expired. Whoever asked about the wallet since has seen that already.
-- KEYS  1 wallet   2 events (stream)   3 wallets of the hash tag with lots that expire (zset: wallet -> Unix ms)
-- ARGV  none
-- Returns the amount, a decimal string of atomic units
local library = lots_library()
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local state = redis.call('HMGET', KEYS[1], 'granted', 'spent', 'held', 'lots')
local lots, sum = library.parse(state[4]), '0'
if state[4] then
  local available = subtract(state[1] or '0', add(state[2] or '0', state[3] or '0'))
  sum = library.expire(KEYS[1], KEYS[2], lots, now, available, '')
  library.save(KEYS[1], lots)
end
library.plan_expiry(KEYS[3], KEYS[1], lots)
return sum
