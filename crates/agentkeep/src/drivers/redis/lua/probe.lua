#!lua
-- Whether the user may do what commits do: a script that is refused in its middle is not rolled
-- back, so that has to be known before. What is made here goes again.
local key, other, channel = KEYS[1], KEYS[2], ARGV[1]
local call = redis.call
call('SET', key, '1')
call('PEXPIRE', key, 60000)
call('COPY', key, other, 'REPLACE')
call('PEXPIREAT', other, 1)
call('GET', key)
call('EXISTS', key)
call('UNLINK', key, other)
call('HSET', key, 'a', '1')
call('PEXPIRE', key, 60000)
call('HGET', key, 'a')
call('HMGET', key, 'a')
call('HEXISTS', key, 'a')
call('HLEN', key)
call('HKEYS', key)
call('HDEL', key, 'b')
call('UNLINK', key)
call('ZADD', key, 0, 'a')
call('PEXPIRE', key, 60000)
call('ZCARD', key)
call('ZRANGE', key, 0, 0, 'WITHSCORES')
call('ZRANGEBYLEX', key, '-', '+')
call('ZREVRANGEBYLEX', key, '+', '-')
call('ZREMRANGEBYLEX', key, '-', '(a')
call('ZREM', key, 'b')
call('UNLINK', key)
call('TIME')
call('PUBLISH', channel, '')
return 1
