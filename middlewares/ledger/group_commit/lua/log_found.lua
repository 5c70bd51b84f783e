-- Notes that the write-ahead log of a worker is there, or says whether it is.
-- KEYS  1 mark of the log
-- ARGV  1 milliseconds for which it is kept; 0: only say
-- Returns 1 it is   0 nobody knows of it
if ARGV[1] == '0' then return redis.call('EXISTS', KEYS[1]) end
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return 1
