-- Shows which requests a worker runs whose holds are in its log alone.
-- KEYS  1 running (hash: worker -> what it runs, JSON)
-- ARGV  1 worker   2 what it runs (empty: nothing)   3 ms after which the hash is gone if no worker shows anything
if ARGV[2] == '' then return { redis.call('HDEL', KEYS[1], ARGV[1]) } end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return { redis.call('PEXPIRE', KEYS[1], ARGV[3]) }
