-- Library: shares of caps and balances. What a share has reserved of one counts as held there. Beside the bodies of holds
-- stands a record of it, `<share>|<key of the rule>`: `<admitted> <committed> <number of the worker's call>`; reserved is
-- what was admitted, used or not, less what was committed. settle.lua adds to what was committed, with the same command
-- that counts what was used. Both only grow while the worker lives, so none of them depends on the order of calls.
local AMOUNT_PART = 4 -- as PART in share.lua, rounded up

local function read_amount(rule, bodies, share) -- returns false where a later call was first
  local place = share .. '|'
  if rule.user_key ~= rule.key and redis.call('EXISTS', rule.user_key) == 1 then
    if redis.call('HEXISTS', bodies, place .. rule.key) == 0 then
      rule.key = rule.user_key
    else
      rule.moved = true -- the user has a wallet of his own by now: the share of the app's ends first
    end
  end
  rule.place = place .. rule.key
  local record = redis.call('HGET', bodies, rule.place) or '0 0 0'
  local admitted, committed, number = string.match(record, '^(%d+) (%d+) (%d+)$')
  rule.reserved, rule.committed = subtract(admitted, committed), maximum(committed, rule.settled)
  return tonumber(number) < rule.number
end

local function give_back_amount(rule, now, events, share)
  local released = subtract(rule.reserved, subtract(rule.admitted, rule.committed))
  local state = redis.call('HMGET', rule.key, 'held', 'used:' .. period_of(rule.kind, now), 'granted', 'spent', 'lots')
  rule.held = subtract(state[1] or '0', released)
  if released ~= '0' then redis.call('HSET', rule.key, 'held', rule.held) end
  if rule.kind == 'b' then
    rule.left, rule.reset = subtract(state[3] or '0', add(state[4] or '0', rule.held)), 0
    if state[5] then
      rule.moved = true -- which lots a hold may spend is decided when it is opened, so Redis opens each
      if less('0', released) then lots_library().spend(rule.key, events, state[5], now, share, '0', released) end
    end
  else
    rule.left = subtract(rule.limit, add(state[2] or '0', rule.held))
    rule.reset = rule.kind == 't' and 0 or period_ends(rule.kind, now) - now
  end
  rule.left = maximum(rule.left, '0')
  local part = divide_up(rule.left, AMOUNT_PART)
  rule.part = less(part, rule.wanted) and part or rule.wanted
  return not rule.moved and not less(rule.part, rule.least)
end

local function take_amount(rule)
  rule.admitted = add(rule.admitted, rule.part)
  redis.call('HSET', rule.key, 'held', add(rule.held, rule.part))
end

local function note_amount(rule, bodies) -- returns whether something may be in use still
  if rule.admitted == rule.settled then
    redis.call('HDEL', bodies, rule.place)
    return false
  end
  redis.call('HSET', bodies, rule.place, rule.admitted .. ' ' .. rule.committed .. ' ' .. whole(rule.number))
  return true
end
