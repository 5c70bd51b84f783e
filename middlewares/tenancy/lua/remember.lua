-- Where things live that a gateway has just made, and named itself.
-- KEYS: one per thing
-- ARGV[1]: gateway (origin)
-- ARGV[2]: life of the keys in milliseconds
-- Returns nothing
for _, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
end
