-- Reads one wallet.
-- KEYS  1 wallet (hash: granted, spent, held; decimal strings of atomic units)
-- ARGV  none
-- Returns {now ms, granted, spent, held}
local clock = redis.call('TIME')
local state = redis.call('HMGET', KEYS[1], 'granted', 'spent', 'held')
return { clock[1] * 1000 + math.floor(clock[2] / 1000), state[1] or '0', state[2] or '0', state[3] or '0' }
