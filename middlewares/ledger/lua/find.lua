-- Lists the ids of the events in a usage stream, one bounded page at a time.
-- KEYS  1 events
-- ARGV  1 stream id to start at   2 length of a page
-- Returns {stream id of the next page, or '' at the end, event id, event id, ...}
local entries = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])
local found = { #entries == tonumber(ARGV[2]) and '(' .. entries[#entries][1] or '' }
for _, entry in ipairs(entries) do
  found[#found + 1] = string.match(entry[2][2], '"id":"([^"]*)"')
end
return found
