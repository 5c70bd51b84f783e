-- Ends one hold exactly once: gives back what was reserved, adds what was used, appends one event. Amounts are decimal
-- strings of atomic units. Its twin in property tests is tests/ledger/model.py.
--
-- KEYS  1 holds   2 bodies   3 events (stream)   4 usage of the app on the day (hash)   5 marker of this request
--       6.. its leases, then the keys of the entries in order; a balance takes two: the app's wallet, then the user's;
--       a claim, too: the claim, then those of the app that are done, oldest first (list: `<request id> <claim>`).
-- ARGV  1 request id   2 event without its amount (JSON; empty: only give back)
--       3 what is counted (JSON): `units`, then `amount` before allowances. It is the text of a marker, too
--       then five per entry: kind, reserved, used ('amount': the amount of the event), period, extra
--         'd' 'm' 't' unit cap   'b' balance; extra = the share of a worker in which it is reserved, if it is
--             (shares/lua/amounts.lua). 'reap' ends such a share itself, 'commit' and 'record' a request of one.
--         'a' allowance, reserved = included units: what passes them is priced. extra = "price per" (amount of `per`
--             units, and `per`; " t" behind it: a tick of a stream, whose ticks are rounded up together and not each),
--             or empty where the unit is money itself. Allowances of units stand first, then that of money, then all
--             else: each may change the amount that the next ones see.
--         'i' claim to an idempotency key: reserved = claims of the app that are kept, used = '1': the work is done,
--             '0': the key is free again; period = ms for which it is kept   (extra unused). It stands first: a
--             request that was reaped and whose key was used anew is not counted after all.
--       the last four:
--         mode: 'settle' needs the hold; 'reap' needs it expired and leaves a marker; 'adjust' needs that marker;
--           'record' is for requests that have no hold, needs that there is no marker, and leaves one; 'commit' is for
--           such requests in a group that is committed once (`group_commit/lua/commit.lua`), and needs nothing
--         number of leases   requests to count: 1 or 0   beginning of the fields of its running totals
-- Returns {1, amount} done   {0} nothing to end   {2, marker} it was reaped before: the caller may adjust.
--         The marker is 'app' or 'user' (whose wallet), then ':' and a number for each allowance of units that is priced
--         event by event (how many were past it; an older release wrote none), ' ' and the marker text; or 'recorded'.
--
-- A full server (maxmemory) still takes the end of what has a hold, for the hold goes with it: the first command to
-- write is one that it never refuses, and then it refuses none. Otherwise it refuses the first, and so the script.
local MARKER_LIFE = '2592000000' -- ms: 30 days, in which a late settlement of a reaped request is recognised
local id, units, amount = ARGV[1], string.match(ARGV[3], '^{"units":(%b{}),"amount":"(%-?%d+)"')
local mode, leases, requests, head = unpack(ARGV, #ARGV - 3)
local function time() -- Unix ms
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end

local of_user = false -- the balance reserved from was the user's own wallet
local past = {} -- 'reap' and 'adjust': units that the reaper found to be past each allowance
local allowances = 0

if mode == 'settle' or mode == 'reap' then
  if mode == 'reap' then
    local expiry = tonumber(redis.call('ZSCORE', KEYS[1], id) or 'inf')
    if expiry > time() then return { 0 } end
  end
  local removed = redis.call('HDEL', KEYS[2], id, id .. ':wallet')
  redis.call('ZREM', KEYS[1], id)
  if removed == 0 then
    local marker = redis.call('GET', KEYS[5])
    if marker and marker ~= 'recorded' then return { 2, marker } end
    return { 0 }
  end
  of_user = removed == 2
elseif mode == 'adjust' then
  local marker = redis.call('GET', KEYS[5])
  if not marker or marker == 'recorded' then return { 0 } end
  if ARGV[4] == 'i' and (redis.call('HGET', KEYS[6 + tonumber(leases)], 'id') or id) ~= id then return { 0 } end
  of_user = string.sub(marker, 1, 4) == 'user'
  for number in string.gmatch(string.match(marker, '^%S+'), ':(%d+)') do past[#past + 1] = number end
  redis.call('SET', KEYS[5], 'recorded', 'PX', MARKER_LIFE)
elseif mode == 'record' and not redis.call('SET', KEYS[5], 'recorded', 'NX', 'PX', MARKER_LIFE) then
  return { 0 }
end

local function increase(key, fields, numbers) -- each field of a hash by the number at its place; returns the next field
  local count = #numbers
  if count == 0 then return end
  local state, changed = redis.call('HMGET', key, unpack(fields)), {}
  for i = 1, count do
    changed[2 * i - 1], changed[2 * i] = fields[i], add(state[i] or '0', numbers[i])
  end
  redis.call('HSET', key, unpack(changed))
  return state[count + 1]
end

local function after_allowance(key, field, included, used, price) -- the amount; less where usage is taken back
  local before = redis.call('HGET', key, field) or '0'
  local first, last = maximum(before, included), maximum(add(before, used), included)
  if price == '' then return subtract(last, first) end
  local each, per, tick = string.match(price, '^(%d+) (%d+)( ?t?)$')
  local function cost(units) return divide_up(multiply(units, each), tonumber(per)) end
  if tick == '' then
    allowances = allowances + 1
    local passing = subtract(last, first)
    if mode == 'reap' then past[allowances] = passing end
    -- the event and its adjustment cost together what one event of all the units would have
    local paid = mode == 'adjust' and past[allowances] or '0'
    return add(amount, subtract(cost(add(paid, passing)), cost(paid)))
  end
  return add(amount, subtract(cost(subtract(last, included)), cost(subtract(first, included))))
end

local function end_claim(claim, list, most, done, life) -- unless another request has it by now
  local owner = redis.call('HGET', claim, 'id')
  if owner and owner ~= id then return end
  if done ~= '1' then
    redis.call('DEL', claim)
    return
  end
  redis.call('HSET', claim, 'id', id, 'done', '1')
  redis.call('PEXPIRE', claim, life)
  redis.call('RPUSH', list, id .. ' ' .. claim)
  redis.call('PEXPIRE', list, life)
  if redis.call('LLEN', list) <= tonumber(most) then return end
  local old_id, old = string.match(redis.call('LPOP', list), '^(%S+) (.+)$')
  if redis.call('HGET', old, 'id') == old_id and redis.call('HGET', old, 'done') then redis.call('DEL', old) end
end

local function end_in_share(share, name, held) -- returns how much of what the share has reserved is free again
  local place = share .. '|' .. name
  local admitted, committed, number = string.match(redis.call('HGET', KEYS[2], place) or '', '^(%d+) (%d+) (%d+)$')
  if not admitted then return '0' end -- its worker was taken for dead, and the share was ended
  if mode == 'reap' then
    redis.call('HDEL', KEYS[2], place)
    return subtract(admitted, committed)
  end
  redis.call('HSET', KEYS[2], place, table.concat({ admitted, add(committed, held), number }, ' '))
  return held
end

local key = 6 + tonumber(leases)
for i = 6, key - 1 do
  redis.call('ZREM', KEYS[i], id)
  if mode == 'reap' then redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', time()) end -- a share has one lease for each place
end
local reserves = mode == 'settle' or mode == 'reap'
local event = { 'event', ARGV[2], 'amount', amount }
for i = 4, #ARGV - 4, 5 do
  local kind, held, used, period, extra = unpack(ARGV, i, i + 4)
  local name, field = KEYS[key], 'used:' .. period
  local fields, numbers, released = {}, {}, '0'
  if used == 'amount' then used = amount end
  if kind == 'i' then
    end_claim(name, KEYS[key + 1], held, used, period)
    key, held, used = key + 1, '0', '0'
  elseif kind == 'a' then
    amount = after_allowance(name, field, held, used, extra)
    if extra == '' then event[5], event[6] = 'gross', used end
  else
    if kind == 'b' then
      key, field = key + 1, 'spent'
      if mode == 'record' or extra ~= '' then
        of_user = KEYS[key] ~= name and redis.call('EXISTS', KEYS[key]) == 1
          and (extra == '' or redis.call('HEXISTS', KEYS[2], extra .. '|' .. name) == 0)
      end
      if of_user then name = KEYS[key] end
      event[#event + 1] = 'wallet'
      event[#event + 1] = of_user and 'user' or 'app'
    end
    released = extra ~= '' and end_in_share(extra, name, held) or reserves and held or '0'
    if released ~= '0' then fields[1], numbers[1] = 'held', negate(released) end
  end
  if used ~= '0' then fields[#fields + 1], numbers[#numbers + 1] = field, used end
  if kind == 'b' then fields[#fields + 1] = 'lots' end
  local lots = increase(name, fields, numbers)
  if lots then lots_library().spend(name, KEYS[3], lots, time(), id, used, released) end
  key = key + 1
end
if mode == 'reap' then
  local words = { of_user and 'user' or 'app', unpack(past) }
  redis.call('SET', KEYS[5], table.concat(words, ':') .. ' ' .. ARGV[3], 'PX', MARKER_LIFE)
end
if ARGV[2] == '' then return { 1, amount } end

event[4] = amount
redis.call('XADD', KEYS[3], '*', unpack(event))
local fields, numbers = { head .. 'requests' }, { requests }
for unit, number in string.gmatch(units, '"(.-)":(%-?%d+)') do
  if unit ~= 'requests' then fields[#fields + 1], numbers[#numbers + 1] = head .. unit, number end
end
if amount ~= '0' then fields[#fields + 1], numbers[#numbers + 1] = head .. 'amount', amount end
increase(KEYS[4], fields, numbers)
return { 1, amount }
