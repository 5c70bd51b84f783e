-- Remembers when keys of an app were last used; a time before the one that is known changes nothing.
-- KEYS  1 hash: key id -> Unix seconds
-- ARGV  1 Unix seconds   2.. key ids
-- Returns nothing
for i = 2, #ARGV do
  local known = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or 0)
  if tonumber(ARGV[1]) > known then redis.call('HSET', KEYS[1], ARGV[i], ARGV[1]) end
end
