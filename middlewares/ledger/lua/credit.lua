-- Puts credits into one wallet or takes them out, once per app and reference. Amounts are decimal strings of atomic
-- units. Its twin in property tests is tests/ledger/model.py.
--
-- KEYS  1 wallet (hash: granted, spent, held)   2 references of the app (hash: reference -> what it was used for)
--       3 events (stream)
-- ARGV  1 amount in atomic units, negative to take out   2 reference   3 its use: amount and user
--       4 event without its amount (JSON)   5 'app' or 'user': whose wallet it is
--       6 '1': the wallet may go below zero   7 what stands for the reference once it is erased
-- Returns {1, granted, spent, held} done   {0, use, granted, spent, held} the reference was used before, for `use`
--         {-1, granted, spent, held} there is not that much left in it
local state = redis.call('HMGET', KEYS[1], 'granted', 'spent', 'held')
local granted, spent, held = state[1] or '0', state[2] or '0', state[3] or '0'
local amount = ARGV[1]

local use = redis.call('HGET', KEYS[2], ARGV[2]) or redis.call('HGET', KEYS[2], ARGV[7])
if use then return { 0, use, granted, spent, held } end

local left = subtract(add(granted, amount), add(spent, held))
if less(amount, '0') and less(left, '0') and ARGV[6] ~= '1' then return { -1, granted, spent, held } end

granted = add(granted, amount)
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('HSET', KEYS[1], 'granted', granted)
redis.call('XADD', KEYS[3], '*', 'event', ARGV[4], 'amount', amount, 'wallet', ARGV[5])
return { 1, granted, spent, held }
