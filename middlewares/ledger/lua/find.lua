-- Lists the ids of events in the stream, one bounded stretch at a time.
-- KEYS  1 events
-- ARGV  1 stream id to start at   2 how many entries at the most
-- Returns {stream id to go on at, or '' at the end, event id, event id, ...}
local entries = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])
local found = { #entries == tonumber(ARGV[2]) and '(' .. entries[#entries][1] or '' }
for _, entry in ipairs(entries) do
  found[#found + 1] = string.match(entry[2][2], '"id":"([^"]*)"')
end
return found
