-- Looks for the event of one request in the stream, one bounded stretch at a time.
-- KEYS  1 events
-- ARGV  1 request id   2 stream id to start at   3 how many entries at the most
-- Returns {1} found   {0, stream id to go on at}   {0} not there
local wanted = '"id":"' .. ARGV[1] .. '"'
local entries = redis.call('XRANGE', KEYS[1], ARGV[2], '+', 'COUNT', ARGV[3])
for _, entry in ipairs(entries) do
  if string.find(entry[2][2], wanted, 1, true) then return { 1 } end
end
if #entries < tonumber(ARGV[3]) then return { 0 } end
return { 0, '(' .. entries[#entries][1] }
