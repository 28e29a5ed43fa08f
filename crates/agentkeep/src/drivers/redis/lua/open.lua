#!lua
-- The store's facts; it is made or brought up to date first, if that is wanted.
local schema, version, store_id, create, upgrade = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local facts = redis.call('HMGET', KEYS[1], 'schema', 'format', 'store_id', 'epoch')
local before = facts[2] or '0'
if not facts[1] and not facts[2] then
  if redis.call('HLEN', KEYS[1]) == 0 and create == 'yes' then
    redis.call('HSET', KEYS[1], 'schema', schema, 'format', version, 'store_id', store_id, 'epoch', '1')
    before = version
  end
elseif facts[1] == schema and tonumber(before) and tonumber(before) > 0
  and tonumber(before) < tonumber(version) and upgrade == 'yes' then
  redis.call('HSET', KEYS[1], 'format', version)
end
facts = redis.call('HMGET', KEYS[1], 'schema', 'format', 'store_id', 'epoch')
return {facts[1], facts[2], facts[3], facts[4], before}
