-- Reads the running totals of a day together with the events that are not archived yet, at one moment.
-- KEYS  1 usage of the app on the day (hash)   2 usage stream
-- ARGV  1 id after that of the last archived entry   2 how many entries at most
-- Returns {totals (field, number, ...), entries}
return { redis.call('HGETALL', KEYS[1]), redis.call('XRANGE', KEYS[2], ARGV[1], '+', 'COUNT', ARGV[2]) }
