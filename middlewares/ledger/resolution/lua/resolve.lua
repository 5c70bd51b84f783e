-- Writes a person's decision about one event, once, with the adjustment of its charge. Amounts are decimal strings of
-- atomic units. Its twin in property tests is the model in tests/ledger/test_resolution.py.
--
-- KEYS  1 decisions about the app's events (hash: event id -> `<decision> <amount>`)   2 marker of the request
--       3 events (stream)   4 usage of the app on the day (hash)
--       5.. one for each field of ARGV: counts of money caps, and the wallet that the event was paid from
-- ARGV  1 event id   2 decision   3 amount that it adds to the charge   4 event without its amount (JSON)
--       5 '1': a late settlement may still come; after this decision it counts nothing   6 beginning of the fields of its running totals
--       7 whose wallet it was paid from, 'app' or 'user'; empty: none   8.. fields to increase by the amount
-- Returns {1} done   {0, text} decided before: `<decision> <amount>`   {-1} its late settlement has come: look again
local MARKER_LIFE = '2592000000' -- ms, as in settle.lua
local amount = ARGV[3]

local before = redis.call('HGET', KEYS[1], ARGV[1])
if before then return { 0, before } end
if ARGV[5] == '1' then
  if redis.call('GET', KEYS[2]) == 'recorded' then return { -1 } end
  redis.call('SET', KEYS[2], 'recorded', 'PX', MARKER_LIFE)
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. amount)

local event = { 'event', ARGV[4], 'amount', amount, 'gross', '0' } -- of included money, it takes and gives nothing
if ARGV[7] ~= '' then
  event[7], event[8] = 'wallet', ARGV[7]
end
redis.call('XADD', KEYS[3], '*', unpack(event))

local function increase(key, field, by)
  redis.call('HSET', key, field, add(redis.call('HGET', key, field) or '0', by))
end

increase(KEYS[4], ARGV[6] .. 'requests', '0') -- as for any event, it is there
if amount ~= '0' then
  increase(KEYS[4], ARGV[6] .. 'amount', amount)
  for i = 8, #ARGV do increase(KEYS[i - 3], ARGV[i], amount) end
  local wallet = KEYS[#KEYS]
  local lots = ARGV[7] ~= '' and redis.call('HGET', wallet, 'lots')
  if lots then
    local clock = redis.call('TIME')
    local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
    lots_library().spend(wallet, KEYS[3], lots, now, '', amount, '0')
  end
end
return { 1 }
