-- Says of requests that have no event in the usage stream whether that means anything: the stream may have been trimmed.
-- KEYS  1 trimmed (string: Unix ms; entries before it may be gone)
--       2 doubts (hash: request id -> '?' and `trimmed` when it was first asked, or what the archiver says: 'known' or
--         'unknown')
-- ARGV  1 Unix ms from which on the event would be in the stream   2.. request ids
-- Returns for each request: 0 it has no event   1 its event is in the history   2 the archiver has yet to say
local trimmed, found = tonumber(redis.call('GET', KEYS[1]) or '0'), {}
for i = 2, #ARGV do
  local said = redis.call('HGET', KEYS[2], ARGV[i])
  if said == 'known' then
    found[#found + 1] = 1 -- it stays: others of this batch may still wait, so that all are looked at again
  elseif said == 'unknown' then
    redis.call('HDEL', KEYS[2], ARGV[i])
    found[#found + 1] = 0
  elseif tonumber(ARGV[1]) < trimmed then
    redis.call('HSETNX', KEYS[2], ARGV[i], string.format('?%.0f', trimmed))
    found[#found + 1] = 2
  else
    found[#found + 1] = 0
  end
end
return found
