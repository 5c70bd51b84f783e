-- Ends one hold exactly once: gives back what was reserved, adds what was used, appends one event.
--
-- KEYS  1 holds   2 bodies   3 marker of this request   4 events (stream)   5 usage of the app on the day (hash)
--       6.. the keys of the entries in order; a balance takes two: the app's wallet, then the user's.
-- ARGV  1 request id
--       2 mode: 'settle' needs the hold; 'reap' needs it expired and leaves a marker; 'adjust' needs that marker;
--         'record' is for requests that have no hold, needs that there is no marker, and leaves one
--       3 event without its amount (JSON; empty: only give back)   4 amount before allowances   5 marker text
--       6 life of the marker, ms   7 number of usage fields, then that many pairs: field, increment
--       then five per entry: kind, reserved, used ('amount': the amount of the event), period, extra
--         'c' lease   'd' 'm' unit cap   'b' balance   (extra unused)
--         'a' allowance: used units, of which those past the included ones are priced; reserved = included units,
--             extra = "price per" (amount of `per` units, and `per`), or empty where the unit is money itself
-- Returns {1, amount} done   {0} nothing to end   {2, marker} it was reaped before: the caller may adjust.
--         The marker is 'app ' or 'user ' (whose wallet) and the marker text, or 'recorded'.
local id, mode, amount = ARGV[1], ARGV[2], ARGV[4]
redis.call('ZADD', KEYS[1], 'XX', 0, '') -- changes nothing; a full server refuses it, and with it the whole script
local of_user = false -- the balance reserved from was the user's own wallet

if mode == 'settle' or mode == 'reap' then
  if mode == 'reap' then
    local clock = redis.call('TIME')
    local expiry = tonumber(redis.call('ZSCORE', KEYS[1], id) or 'inf')
    if expiry > clock[1] * 1000 + math.floor(clock[2] / 1000) then return { 0 } end
  end
  local removed = redis.call('HDEL', KEYS[2], id, id .. ':wallet')
  redis.call('ZREM', KEYS[1], id)
  if removed == 0 then
    local marker = redis.call('GET', KEYS[3])
    if marker and marker ~= 'recorded' then return { 2, marker } end
    return { 0 }
  end
  of_user = removed == 2
  if mode == 'reap' then redis.call('SET', KEYS[3], (of_user and 'user ' or 'app ') .. ARGV[5], 'PX', ARGV[6]) end
elseif mode == 'adjust' then
  local marker = redis.call('GET', KEYS[3])
  if not marker or marker == 'recorded' then return { 0 } end
  of_user = string.sub(marker, 1, 5) == 'user '
  redis.call('SET', KEYS[3], 'recorded', 'PX', ARGV[6])
elseif not redis.call('SET', KEYS[3], 'recorded', 'NX', 'PX', ARGV[6]) then
  return { 0 }
end

local first_entry = 8 + 2 * tonumber(ARGV[7])
local entries, key = {}, 6
local wallet, gross -- whose wallet pays, and the price before included money; nil where there is none
for i = first_entry, #ARGV, 5 do
  local entry = { kind = ARGV[i], held = ARGV[i + 1], used = ARGV[i + 2], period = ARGV[i + 3], extra = ARGV[i + 4],
                  key = KEYS[key] }
  if entry.kind == 'b' then
    entry.user_key = KEYS[key + 1]
    key = key + 1
    if mode == 'record' then of_user = entry.user_key ~= entry.key and redis.call('EXISTS', entry.user_key) == 1 end
    wallet = of_user and 'user' or 'app'
  end
  key = key + 1
  entries[#entries + 1] = entry
end

for _, entry in ipairs(entries) do
  if entry.kind == 'a' then -- first, since it decides the amount
    local field = 'used:' .. entry.period
    local before = redis.call('HGET', entry.key, field) or '0'
    local used = entry.used == 'amount' and amount or entry.used
    local after = add(before, used)
    local past = subtract(maximum(after, entry.held), maximum(before, entry.held)) -- below zero for an adjustment
    if entry.extra == '' then
      gross = amount
      amount = past
    else
      local price, per = string.match(entry.extra, '^(%d+) (%d+)$')
      local extra = divide_up(multiply(maximum(past, negate(past)), price), tonumber(per))
      amount = add(amount, less(past, '0') and negate(extra) or extra)
    end
    redis.call('HSET', entry.key, field, after)
  end
end

for _, entry in ipairs(entries) do
  local used = entry.used == 'amount' and amount or entry.used
  if entry.kind == 'c' then
    redis.call('ZREM', entry.key, id)
  elseif entry.kind == 'd' or entry.kind == 'm' or entry.kind == 'b' then
    local field = entry.kind == 'b' and 'spent' or 'used:' .. entry.period
    if entry.kind == 'b' and of_user then entry.key = entry.user_key end
    if mode ~= 'record' and mode ~= 'adjust' and entry.held ~= '0' then
      redis.call('HSET', entry.key, 'held', subtract(redis.call('HGET', entry.key, 'held') or '0', entry.held))
    end
    if used ~= '0' then redis.call('HSET', entry.key, field, add(redis.call('HGET', entry.key, field) or '0', used)) end
  end
end

if ARGV[3] == '' then return { 1, amount } end

local event = { 'event', ARGV[3], 'amount', amount }
for name, value in pairs({ wallet = wallet, gross = gross }) do
  event[#event + 1] = name
  event[#event + 1] = value
end
redis.call('XADD', KEYS[4], '*', unpack(event))
for i = 8, first_entry - 1, 2 do
  redis.call('HINCRBY', KEYS[5], ARGV[i], ARGV[i + 1])
end
if amount ~= '0' then
  local field = string.gsub(ARGV[8], '|[^|]*$', '|amount')
  redis.call('HSET', KEYS[5], field, add(redis.call('HGET', KEYS[5], field) or '0', amount))
end
return { 1, amount }
