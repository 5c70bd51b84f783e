-- Admits one request against every rule at once, or refuses it and changes nothing. Twins in Python, for property
-- tests: `admission/sliding_window.py` of a window, `periods.py` of the calendar, tests/ledger/model.py of all rules.
--
-- KEYS  1 holds (zset: request id -> expiry)   2 bodies (hash: request id -> hold)   3.. the keys of the rules in
--       order; a balance takes two: the app's wallet, then the user's. Behind them the claim to its idempotency key,
--       where the request has one.
-- ARGV  1 request id   2 hold time, ms   3 hold body   4 latest Redis time to act at, Unix ms (0: any)
--       then five per rule: kind, limit, parameter, estimate, manner ('0': it binds; '1': a shadow, which only
--       reports; '<limit> <Unix ms>': it binds, and before that time with that limit)
--         'w' sliding window: limit requests, parameter = slot width in ms (a window is 60 slots)
--         'c' concurrency:    limit leases, each as long as the hold
--         'd' 'm' 't' cap:    limit units per UTC day, month, or for good; estimate units are reserved
--         'b' balance:        estimate atomic units are reserved from the wallet; limit is what must stay in it
-- Returns {1, now ms, then per rule remaining, reset ms, refused in shadow 0|1}
--         {0, now ms, rule number, remaining, reset ms}   the first rule that refuses
--         {-1, now ms}                                     too late: nobody waits for the reply any more
--         {-2, now ms}                                     another request has the claim by now
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local id, latest = ARGV[1], tonumber(ARGV[4])
if latest > 0 and now > latest then return { -1, now } end

local rules, reply, key = {}, { 1, now }, 3

local function cap(rule)
  local state = redis.call('HMGET', rule.key, 'used:' .. period_of(rule.kind, now), 'held')
  local free = subtract(rule.limit, add(state[1] or '0', state[2] or '0'))
  local fits = less('0', free) and not less(free, rule.estimate)
  return fits, maximum(free, '0'), rule.kind == 't' and 0 or period_ends(rule.kind, now) - now
end

local function balance(rule)
  if rule.user_key ~= rule.key and redis.call('EXISTS', rule.user_key) == 1 then
    rule.key, rule.of_user = rule.user_key, true
  end
  local state = redis.call('HMGET', rule.key, 'granted', 'spent', 'held', 'lots')
  local free = subtract(state[1] or '0', add(state[2] or '0', state[3] or '0'))
  if state[4] then
    rule.library = lots_library()
    rule.lots = rule.library.parse(state[4])
    free = subtract(free, (rule.library.leaving(rule.lots, now, free)))
  end
  free = subtract(free, rule.limit)
  local fits = less('0', free) and not less(free, rule.estimate)
  return fits, maximum(free, '0'), 0
end

local CHECK = { w = window, c = concurrency, d = cap, m = cap, t = cap, b = balance }

for i = 5, #ARGV, 5 do
  local rule = { kind = ARGV[i], limit = ARGV[i + 1], parameter = tonumber(ARGV[i + 2]), estimate = ARGV[i + 3],
                 shadow = ARGV[i + 4] == '1', key = KEYS[key] }
  if #ARGV[i + 4] > 1 then
    local raised, ends = string.match(ARGV[i + 4], '^(%d+) (%d+)$')
    if now < tonumber(ends) then rule.limit = raised end
  end
  if rule.kind == 'b' then
    rule.user_key = KEYS[key + 1]
    key = key + 1
  end
  key = key + 1
  rules[#rules + 1] = rule
  local fits, remaining, reset = CHECK[rule.kind](rule, now)
  if not fits and not rule.shadow then return { 0, now, #rules, remaining, reset } end
  rule.remaining, rule.reset, rule.refused = remaining, reset, fits and 0 or 1
end

if KEYS[key] and redis.call('HGET', KEYS[key], 'id') ~= id then return { -2, now } end

local expiry = whole(now + tonumber(ARGV[2]))
for _, rule in ipairs(rules) do
  local remaining = rule.remaining
  if rule.kind == 'w' then
    redis.call('HSET', rule.key, rule.field, whole(rule.in_slot + 1), 'count', whole(rule.count + 1))
    if rule.in_slot == 0 then
      redis.call('HSET', rule.key, 'oldest', whole(rule.oldest), 'newest', whole(rule.newest))
      redis.call('PEXPIREAT', rule.key, (rule.newest + SLOTS + 2) * rule.parameter)
    end
    remaining = math.max(0, remaining - 1)
    rule.reset = (rule.oldest + SLOTS + 1) * rule.parameter - now
  elseif rule.kind == 'c' then
    redis.call('ZADD', rule.key, expiry, id)
    remaining = math.max(0, remaining - 1)
  elseif rule.estimate ~= '0' then
    redis.call('HSET', rule.key, 'held', add(redis.call('HGET', rule.key, 'held') or '0', rule.estimate))
    remaining = maximum(subtract(remaining, rule.estimate), '0')
    if rule.lots then rule.library.reserve(rule.key, rule.lots, now, id, rule.estimate) end
  end
  if rule.of_user then redis.call('HSET', KEYS[2], id .. ':wallet', 'user') end
  reply[#reply + 1] = remaining
  reply[#reply + 1] = rule.reset
  reply[#reply + 1] = rule.refused
end

redis.call('ZADD', KEYS[1], expiry, id)
redis.call('HSET', KEYS[2], id, ARGV[3])
return reply
