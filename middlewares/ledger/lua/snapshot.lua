-- Reads running totals together with the events and holds that they are made of, all at one time.
-- KEYS  n streams of events, then n bodies (hashes), then the hash of each total
-- ARGV  1 n   2 how many events of a stream at most   3.. the stream id to start at for each stream, then the field of
--       each total
-- Returns {events of each stream, bodies of each hash, {each total}}
local n = tonumber(ARGV[1])
local events, bodies, totals = {}, {}, {}
for i = 1, n do
  events[i] = redis.call('XRANGE', KEYS[i], ARGV[2 + i], '+', 'COUNT', ARGV[2])
  bodies[i] = redis.call('HGETALL', KEYS[n + i])
end
for i = 2 * n + 1, #KEYS do
  totals[#totals + 1] = redis.call('HGET', KEYS[i], ARGV[2 + i - n]) or '0'
end
return { events, bodies, totals }
