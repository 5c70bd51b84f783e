-- Takes or renews a lease, unless another owner has it.
-- KEYS  1 lease (string: its owner)
-- ARGV  1 owner   2 life of the lease in ms
-- Returns 2 taken, 1 renewed or 0 another has it
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 1
end
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 2 or 0
