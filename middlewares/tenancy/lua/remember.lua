-- Records the gateway of resources that it has just created, and named itself.
-- KEYS: one per resource
-- ARGV[1]: gateway (origin)
-- ARGV[2]: time to live of the keys in milliseconds
-- Returns nothing
for _, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
end
