-- Takes or renews the lease of the archiver of one hash tag, and says which server this is.
-- KEYS  1 lease (string: its owner)   2 usage stream of the tag
-- ARGV  1 owner   2 life of the lease in ms
-- Returns {2 taken, 1 renewed or 0 another has it, run id of the server, now in Unix ms, first entry of the stream or
--         '', last generated id of the stream or ''}
local clock, mine = redis.call('TIME'), lease() -- lua/lease.lua, with the same KEYS and ARGV
local first, last = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1], ''
if redis.call('EXISTS', KEYS[2]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[2])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = info[i + 1] end
  end
end
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
return { mine, run or '', clock[1] * 1000 + math.floor(clock[2] / 1000), first and first[1] or '', last }
