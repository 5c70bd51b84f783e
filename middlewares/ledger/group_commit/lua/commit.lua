-- Ends a group of requests that have no hold in Redis, at most once. `scripts.py` puts settle.lua before it as the function
-- `settle`, for requests of which more is counted than running totals.
--
-- KEYS  1 last group (string: number of the last group of this worker that ran, with a `!` one that never will)
--       2 events (stream)   3.. running totals (hashes)   then those of settle.lua for each of those requests
-- ARGV  1 number of this group   2 milliseconds for which the number is kept   3 number of events
--       then an event without its amount (JSON) and its amount, for each   then the number of running totals
--       then for each its number of fields, and each field and what is added to it
--       then for each request for settle.lua: number of its KEYS, number of its ARGV, its ARGV, with the mode 'commit'
-- Returns {} it ran before, or never will   {1, then for each request for settle.lua 1, or the error it is refused with}
local last = string.match(redis.call('GET', KEYS[1]) or '0', '^%d+')
if tonumber(last) >= tonumber(ARGV[1]) then return {} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])

local events = tonumber(ARGV[3])
local at = 4 + 2 * events
local totals, sums = tonumber(ARGV[at]), {}
at = at + 1
redis.call('XLEN', KEYS[2]) -- what can fail does so before anything is counted
for i = 3, 2 + totals do
  local fields, changed, last_field = {}, {}, at + 2 * tonumber(ARGV[at]) - 1
  for j = at + 1, last_field, 2 do fields[#fields + 1] = ARGV[j] end
  local state = redis.call('HMGET', KEYS[i], unpack(fields))
  for j = 1, #fields do
    changed[2 * j - 1], changed[2 * j] = fields[j], add(state[j] or '0', ARGV[at + 2 * j])
  end
  sums[i], at = changed, last_field + 2
end
for i = 1, events do redis.call('XADD', KEYS[2], '*', 'event', ARGV[2 + 2 * i], 'amount', ARGV[3 + 2 * i]) end
for i = 3, 2 + totals do redis.call('HSET', KEYS[i], unpack(sums[i])) end

local replies, key = { 1 }, 3 + totals
while at <= #ARGV do
  local keys, arguments = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local done, reply = pcall(settle, slice(KEYS, key, key + keys - 1), slice(ARGV, at + 2, at + 1 + arguments))
  replies[#replies + 1] = done and reply[1] or type(reply) == 'table' and reply.err or tostring(reply)
  key, at = key + keys, at + 2 + arguments
end
return replies
