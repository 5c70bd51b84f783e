-- Says whether a group of requests was committed, and sees to it that it never will be if it was not.
-- KEYS  1 last group, as of commit.lua
-- ARGV  1 number of the group   2 milliseconds for which the number is kept
-- Returns 1 it was   0 it never will be
local state = redis.call('GET', KEYS[1]) or '0'
if tonumber(string.match(state, '^%d+')) >= tonumber(ARGV[1]) then return string.find(state, '!') and 0 or 1 end
redis.call('SET', KEYS[1], ARGV[1] .. '!', 'PX', ARGV[2])
return 0
