-- Says which of some keys exist.
-- KEYS  any number of keys of one hash tag
-- Returns their places, the first is 1
local found = {}
for place, key in ipairs(KEYS) do
  if redis.call('EXISTS', key) == 1 then found[#found + 1] = place end
end
return found
