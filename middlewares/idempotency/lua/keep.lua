-- Keeps what a repetition is compared with and what it is sent, if the claim still is this request's. Of all that is
-- kept of an app, the oldest responses go first once they are too many bytes.
-- KEYS  1 claim (hash)   2 responses of the app, oldest first (list: `<bytes> <request id> <claim>`)
--       3 their bytes (string)
-- ARGV  1 request id   2 fingerprint   3 response (empty: none)   4 most bytes of the app   5 ms for which it is kept
-- Returns 1 if the response is kept, else 0
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[2])
local size, most = #ARGV[3], tonumber(ARGV[4])
if size == 0 or size > most then return 0 end
redis.call('HSET', KEYS[1], 'response', ARGV[3])
redis.call('RPUSH', KEYS[2], size .. ' ' .. ARGV[1] .. ' ' .. KEYS[1])
local total = redis.call('INCRBY', KEYS[3], size)
while total > most do
  local bytes, id, claim = string.match(redis.call('LPOP', KEYS[2]) or '', '^(%d+) (%S+) (.+)$')
  if not bytes then -- one of the two keys was lost: it begins anew
    redis.call('SET', KEYS[3], 0)
    break
  end
  total = redis.call('DECRBY', KEYS[3], bytes)
  if redis.call('HGET', claim, 'id') == id then redis.call('HDEL', claim, 'response') end
end
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('PEXPIRE', KEYS[3], ARGV[5])
return 1
