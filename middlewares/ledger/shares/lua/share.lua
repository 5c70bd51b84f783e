-- Takes a share of every limit of a policy for one worker, or none; what is left of its last share is given back first.
-- A share of a window is counted at once, in the slot in which it ends, so that nothing of it leaves the window too early.
-- One of concurrency is that many leases, `<share>#<number>`, of which those in use stay whatever else there is. One of an
-- amount is held (amounts.lua).
--
-- KEYS  1 holds   2 bodies (as of admit.lua)   3 events (stream)   then the keys of the rules in order, as of admit.lua
-- ARGV  1 share   2 ms for which it holds   3 latest Redis time to act at, Unix ms (0: any)   4 '1' take, '0' give back
--       5 ms for which leases in use hold   6 '1' something of the last share is not given back
--       7 its hold (JSON), by which leases and amounts are given back, and the share is missed, if its worker dies
--       then eight per rule: kind, limit, parameter (as of admit.lua), how much is wanted, then
--         'w' twice a slot in which a share was counted, and how much of that is given back
--         'c' how many leases it keeps, how many it may have had at the most, and twice nothing
--         'd' 'm' 't' 'b' what was admitted or is kept, what of that was committed, the number of this call, and nothing;
--             parameter = the least that is of use
-- Returns {1, now ms, then per rule how much, how much is left to others, reset ms, slot}
--         {0, now ms}   none: of some rule too little is left, or somebody was refused by it while others had shares
--         {-1, now ms}  too late: nothing was done
-- Beside a rule's key are its `shares` (hash: share -> Unix ms at which it ends) and `wanted`, see recall.lua.
local PART = 4 -- a share is at most the fourth part of what is left: others come, too
local STEP = 1000 -- leases that one command changes: it takes them from a stack that is bounded
local KEPT = 10000 -- ms: how long after the last share a rule's list of them is kept
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local share, life, latest, takes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
if latest > 0 and now > latest then return { -1, now } end
local expiry, used_until, rules = now + life, now + math.max(life, tonumber(ARGV[5])), {}

local function change_leases(command, key, first, last, score) -- from one number to another, both included
  for from = first, last, STEP do
    local arguments = {}
    for i = from, math.min(from + STEP - 1, last) do
      if score then arguments[#arguments + 1] = whole(score) end
      arguments[#arguments + 1] = share .. '#' .. whole(i)
    end
    redis.call(command, key, unpack(arguments))
  end
end

local function give_back(rule)
  if rule.kind == 'w' then
    for i, slot in ipairs(rule.slots) do
      local unused = tonumber(rule.numbers[i])
      if unused > 0 and redis.call('HEXISTS', rule.key, slot) == 1 then -- else it has left the window
        redis.call('HINCRBY', rule.key, slot, -unused)
        redis.call('HINCRBY', rule.key, 'count', -unused)
      end
    end
    return
  end
  redis.call('ZREMRANGEBYSCORE', rule.key, '-inf', whole(now))
  rule.kept = tonumber(rule.slots[1])
  change_leases('ZREM', rule.key, rule.kept, tonumber(rule.numbers[1]) - 1)
  change_leases('ZADD', rule.key, 0, rule.kept - 1, used_until)
end

local function take(rule)
  if rule.kind == 'c' then
    change_leases('ZADD', rule.key, rule.kept, rule.kept + rule.part - 1, expiry)
    return
  end
  local slot = math.floor(expiry / rule.parameter)
  local newest = math.max(rule.newest, slot)
  redis.call('HINCRBY', rule.key, whole(slot), whole(rule.part))
  redis.call('HSET', rule.key, 'count', whole(rule.count + rule.part), 'oldest', whole(rule.oldest), 'newest', whole(newest))
  redis.call('PEXPIREAT', rule.key, (newest + SLOTS + 2) * rule.parameter)
  rule.slot = slot
end

local key = 4
for i = 8, #ARGV, 8 do
  local rule = { kind = ARGV[i], limit = ARGV[i + 1], key = KEYS[key] }
  rules[#rules + 1] = rule
  if rule.kind == 'w' or rule.kind == 'c' then
    rule.parameter, rule.wanted, rule.slot, rule.kept = tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), 0, 0
    rule.slots, rule.numbers = { ARGV[i + 4], ARGV[i + 6] }, { ARGV[i + 5], ARGV[i + 7] }
  else
    key = key + (rule.kind == 'b' and 1 or 0)
    rule.user_key, rule.least, rule.wanted, rule.slot = KEYS[key], ARGV[i + 2], ARGV[i + 3], 0
    rule.admitted, rule.settled, rule.number, rule.is_amount = ARGV[i + 4], ARGV[i + 5], tonumber(ARGV[i + 6]), true
    if not read_amount(rule, KEYS[2], share) then return { -1, now } end
  end
  key = key + 1
end
for _, rule in ipairs(rules) do
  if not rule.is_amount then give_back(rule) end
end
for _, rule in ipairs(rules) do
  if rule.is_amount then
    takes = give_back_amount(rule, now, KEYS[3], share) and takes
  else
    local _, left, reset = (rule.kind == 'w' and window or concurrency)(rule, now)
    rule.left, rule.reset = left, reset
    rule.part = math.min(rule.wanted, math.floor(left / PART))
    if rule.kind == 'c' and redis.call('ZCARD', rule.key) > tonumber(rule.limit) then takes = false end -- what it keeps had lapsed
    takes = takes and (rule.part > 0 or rule.wanted == 0)
  end
  takes = takes and redis.call('EXISTS', beside(rule.key, 'wanted')) == 0
end
local reply, is_held = { takes and 1 or 0, now }, takes
for _, rule in ipairs(rules) do
  local list = beside(rule.key, 'shares')
  is_held = is_held or (rule.kind == 'c' and rule.kept > 0)
  if takes or ARGV[6] == '1' then
    redis.call('HSET', list, share, whole(expiry))
    redis.call('PEXPIRE', list, KEPT)
  else
    redis.call('HDEL', list, share)
  end
  if takes then
    (rule.is_amount and take_amount or take)(rule)
    local left = rule.is_amount and subtract(rule.left, rule.part) or rule.left - rule.part
    for _, each in ipairs({ rule.part, left, rule.reset, rule.slot }) do reply[#reply + 1] = each end
  end
  if rule.is_amount then is_held = note_amount(rule, KEYS[2]) or is_held end
end
if is_held then
  redis.call('ZADD', KEYS[1], whole(used_until), share)
  redis.call('HSETNX', KEYS[2], share, ARGV[7])
else
  redis.call('ZREM', KEYS[1], share)
  redis.call('HDEL', KEYS[2], share)
end
return reply
