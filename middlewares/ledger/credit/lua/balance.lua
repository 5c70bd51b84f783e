-- Reads one wallet, without what has expired of its lots.
-- KEYS  1 wallet (hash: granted, spent, held, lots; decimal strings of atomic units)
-- ARGV  none
-- Returns {now ms, granted, spent, held, lots as in lots.lua, 1 if there is a wallet}
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local state = redis.call('HMGET', KEYS[1], 'granted', 'spent', 'held', 'lots')
local granted, spent, held = state[1] or '0', state[2] or '0', state[3] or '0'
if state[4] then
  local library = lots_library()
  granted = subtract(granted, (library.leaving(library.parse(state[4]), now, subtract(granted, add(spent, held)))))
end
return { now, granted, spent, held, state[4] or '', redis.call('EXISTS', KEYS[1]) }
