-- Library: sliding windows and concurrency, as `admit.lua` and `shares/lua/share.lua` count them. The window's twin in
-- Python, for property tests, is `admission/sliding_window.py`.
-- A rule has `key`, `limit`, and of a window `parameter`, the width of a slot in ms. `now` is Redis time in Unix ms. Both
-- functions return whether one more fits, how many do, and in how many ms something is free again (0: unknown).
local SLOTS = 60

local function whole(number) -- Redis prints a Lua number with 17 digits, several times slower
  return string.format('%d', number)
end

local function prune(key, count, first) -- removes slots before the first; returns what is left, and the oldest slot of it
  redis.call('HSET', key, 'count', count) -- changes nothing; a full server refuses it, and with it the whole script
  local state, oldest = redis.call('HGETALL', key), nil
  for i = 1, #state, 2 do
    local slot = tonumber(state[i])
    if slot and slot < first then
      redis.call('HDEL', key, state[i])
      count = count - state[i + 1]
    elseif slot then
      oldest = math.min(oldest or slot, slot)
    end
  end
  oldest = oldest or first
  redis.call('HSET', key, 'count', count, 'oldest', oldest)
  return count, oldest
end

local function window(rule, now) -- later slots count, too: of shares, and where the clock was set back
  local limit, slot = tonumber(rule.limit), math.floor(now / rule.parameter)
  rule.field = whole(slot)
  local state = redis.call('HMGET', rule.key, 'count', 'oldest', 'newest', rule.field)
  local count, oldest = tonumber(state[1] or 0), tonumber(state[2])
  if count > 0 and oldest < slot - SLOTS then count, oldest = prune(rule.key, count, slot - SLOTS) end
  if count == 0 then oldest = slot end
  rule.count, rule.in_slot = count, tonumber(state[4] or 0)
  rule.oldest, rule.newest = math.min(oldest, slot), math.max(tonumber(state[3] or slot), slot)
  local reset = count > 0 and (oldest + SLOTS + 1) * rule.parameter - now or 0
  return count < limit, math.max(0, limit - count), reset
end

local function concurrency(rule, now)
  local limit, leases = tonumber(rule.limit), redis.call('ZCOUNT', rule.key, '(' .. whole(now), '+inf')
  return leases < limit, math.max(0, limit - leases), 0
end
