-- Where something lives at the gateways, or, with a gateway proposed, the decision where it will.
-- KEYS: one per reading of the name, the preferred one first
-- ARGV[1]: proposed gateway (origin) for KEYS[1] where none is known; empty: only look
-- ARGV[2]: gateway that is unavailable, so that what it has counts as unknown; empty: none
-- ARGV[3..]: life of each key in milliseconds, counted anew from this use
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
