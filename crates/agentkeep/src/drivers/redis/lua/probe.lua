#!lua flags=no-writes
-- Whether the user may do what commits do: a script that is refused in its middle is not rolled
-- back, so that has to be known before. What is asked for is held against the user's rights before
-- it is refused as a write: so nothing is written here, and a server without memory answers, too.
local key, other, channel = KEYS[1], KEYS[2], ARGV[1]
local refused
local function call(...)
  local answer = redis.pcall(...)
  local why = type(answer) == 'table' and answer.err
  if why and not why:find('read-only script', 1, true) then refused = refused or answer end
end
call('SET', key, '1')
call('PEXPIRE', key, 60000)
call('COPY', key, other, 'REPLACE')
call('PEXPIREAT', other, 1)
call('GET', key)
call('EXISTS', key)
call('UNLINK', key, other)
call('HSET', key, 'a', '1')
call('HSETNX', key, 'a', '1')
call('HGET', key, 'a')
call('HMGET', key, 'a')
call('HEXISTS', key, 'a')
call('HLEN', key)
call('HKEYS', key)
call('HDEL', key, 'b')
call('ZADD', key, 0, 'a')
call('ZCARD', key)
call('ZRANGE', key, 0, 0, 'WITHSCORES')
call('ZRANGEBYLEX', key, '-', '+')
call('ZREVRANGEBYLEX', key, '+', '-')
call('ZREMRANGEBYLEX', key, '-', '(a')
call('ZREM', key, 'b')
call('TIME')
call('PUBLISH', channel, '')
return refused or 1
