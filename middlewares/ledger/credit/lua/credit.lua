-- Puts credits into one wallet or takes them out, if their reference is used as the caller has read it: so each change
-- counts once. Amounts are decimal strings of atomic units. Its twins in property tests are tests/ledger/model.py and
-- tests/ledger/lots_model.py.
--
-- KEYS  1 wallet (hash: granted, spent, held, lots)   2 references of the app (hash: reference -> what it was used for)
--       3 events (stream)   4 wallets of the hash tag with lots that expire (zset: wallet -> Unix ms)
-- ARGV  1 amount in atomic units, negative to take out; 0: only its use changes   2 reference   3 its new use
--       4 event without its amount (JSON)   5 'app' or 'user': whose wallet it is
--       6 '1': the wallet may go below zero   7 what stands for the reference once it is erased
--       8 the use that was read; empty: none   9 lot that the amount makes, `<id>,<rank>,<expiry>` as in lots.lua; empty: none
-- Returns {1, granted, spent, held} done   {0, use, granted, spent, held} it is used otherwise, for `use`
--         {-1, granted, spent, held} there is not that much left in it   {-2, ...} it has too many lots
--         {-3, ...} the lot has expired
local MOST_LOTS = 100
local library = lots_library()
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local state = redis.call('HMGET', KEYS[1], 'granted', 'spent', 'held', 'lots')
local granted, spent, held = state[1] or '0', state[2] or '0', state[3] or '0'
local lots = library.parse(state[4])
local available = subtract(granted, add(spent, held))
granted = subtract(granted, (library.leaving(lots, now, available)))

local reference = ARGV[2]
local use = redis.call('HGET', KEYS[2], reference)
if not use then
  use = redis.call('HGET', KEYS[2], ARGV[7])
  if use then reference = ARGV[7] end
end
if (use or '') ~= ARGV[8] then return { 0, use or '', granted, spent, held } end

local amount = ARGV[1]
local left = subtract(add(granted, amount), add(spent, held))
if less(amount, '0') and less(left, '0') and ARGV[6] ~= '1' then return { -1, granted, spent, held } end
local lot = library.parse(ARGV[9] .. ',' .. amount .. ',0,0')[1]
if lot and #lots >= MOST_LOTS then return { -2, granted, spent, held } end
if lot and library.has_ended(lot, now) then return { -3, granted, spent, held } end

redis.call('HSET', KEYS[2], reference, ARGV[3])
if amount == '0' then return { 1, granted, spent, held } end
if state[4] then library.expire(KEYS[1], KEYS[3], lots, now, available, '') end
granted = add(granted, amount)
redis.call('HSET', KEYS[1], 'granted', granted)
redis.call('XADD', KEYS[3], '*', 'event', ARGV[4], 'amount', amount, 'wallet', ARGV[5])
if lot then
  local at = 1
  local function rank(each) return each.rank, each.expires > 0 and each.expires or math.huge end
  local first, expires = rank(lot)
  while lots[at] do -- behind those that are spent before it
    local other, its_expiry = rank(lots[at])
    if other > first or (other == first and its_expiry > expires) then break end
    at = at + 1
  end
  table.insert(lots, at, lot)
end
if #lots > 0 then
  library.save(KEYS[1], lots)
  library.plan_expiry(KEYS[4], KEYS[1], lots)
end
return { 1, granted, spent, held }
