-- Finds the gateway of a resource, or, with a gateway proposed, assigns it one.
-- KEYS: one per reading of the name, the preferred one first
-- ARGV[1]: proposed gateway (origin) for KEYS[1] where none is known; empty: assign none
-- ARGV[2]: gateway that is unavailable, whose resources count as unknown; empty: none
-- ARGV[3..]: time to live of each key in milliseconds, from this use on
-- Returns {index into KEYS, gateway}, or nil where nothing is known
for index, key in ipairs(KEYS) do
  local gateway = redis.call('GET', key)
  if gateway and gateway ~= ARGV[2] then
    redis.call('PEXPIRE', key, ARGV[2 + index])
    return {index, gateway}
  end
end
if ARGV[1] == '' then
  return false
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return {1, ARGV[1]}
