-- Says which server has a key.
-- KEYS  1 any key
-- Returns its run id
return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
