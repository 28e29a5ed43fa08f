#!lua flags=allow-oom
-- What became of a call; one that did not happen is kept from ever happening.
local sent = redis.call('HGET', KEYS[1], ARGV[1])
if sent then
  local seen, answer = sent:match('^(%d+) (.*)$')
  if tonumber(seen) == tonumber(ARGV[2]) then return answer end
  if tonumber(seen) > tonumber(ARGV[2]) then return 'stale' end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' void')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 'void'
