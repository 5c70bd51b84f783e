-- Trims a usage stream, a bounded number of entries at a time, if its archiver still has the lease on this server.
-- KEYS  1 lease (string: its owner)   2 usage stream   3 trimmed (string: Unix ms before which entries may be gone)
-- ARGV  1 owner   2 run id of the server   3 id of the first entry to keep   4 how many entries at most
-- Returns how many were trimmed; -1: the lease is lost, or this is another server
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
if string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') ~= ARGV[2] then return -1 end
local ms, seq = string.match(ARGV[3], '^(%d+)-(%d+)$')
local trimmed = tonumber(ms) + (seq == '0' and 0 or 1)
if trimmed > tonumber(redis.call('GET', KEYS[3]) or '0') then -- a clock that was set back restores nothing
  redis.call('SET', KEYS[3], string.format('%.0f', trimmed))
end
return redis.call('XTRIM', KEYS[2], 'MINID', '~', ARGV[3], 'LIMIT', ARGV[4])
