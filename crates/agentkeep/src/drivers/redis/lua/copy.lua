#!lua
-- Copies, prolongs or removes what a snapshot holds: all keys of a namespace under another prefix.
-- With a base, a copy also answers the records of all namespaces: where all are on one server.
local doing, source, target = ARGV[1], ARGV[2], ARGV[3]
local clock = redis.call('TIME')
local time = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[4])
-- What has gone in part is not prolonged.
if doing == 'keep' and redis.call('EXISTS', target .. 'alive') == 0 then return 0 end
local function copy(suffix)
  if redis.call('COPY', source .. suffix, target .. suffix, 'REPLACE') == 1 then
    redis.call('PEXPIREAT', target .. suffix, time)
  end
end
local function remove(suffix) redis.call('UNLINK', target .. suffix) end
local function keep(suffix) redis.call('PEXPIREAT', target .. suffix, time) end
-- Of a key of another kind, which is damage, there is nothing to list.
local function fields(key)
  local found = redis.pcall('HKEYS', key)
  return found.err and {} or found
end
local function all(listing, each)
  for _, field in ipairs(fields(listing .. 'records:_streams')) do
    local name = field:gsub('\31', ':', 1)
    each('entries:' .. name)
    each('ids:' .. name)
  end
  for _, hash in ipairs(fields(listing .. 'records:_blobs')) do each('blob:' .. hash) end
  for i = 6, #ARGV do each(ARGV[i]) end
end
-- How many bytes the server may still take; nothing where it has no limit, or does not say.
local function room()
  local info = redis.pcall('INFO', 'memory')
  if type(info) ~= 'string' then return nil end
  local function fact(name) return tonumber(info:match('\n' .. name .. ':(%d+)') or 0) end
  local most = fact('maxmemory')
  return most > 0 and most - fact('used_memory') + fact('mem_not_counted_for_evict') or nil
end
local NOROOM = 'NOROOM there is no memory for a copy'
if doing == 'copy' then
  -- Sent again, after a connection that broke: what has gone meanwhile is no part of this moment.
  if redis.call('EXISTS', target .. 'alive') == 1 then all(target, remove) end
  -- The server looks at its memory before a script, and not again. What a key takes it guesses from
  -- a few members: so it is looked at once more, when all is there.
  local free, needed = room(), 0
  if free then
    all(source, function(suffix)
      local size = redis.pcall('MEMORY', 'USAGE', source .. suffix)
      if type(size) == 'number' then needed = needed + size end
    end)
    if needed > free then return redis.error_reply(NOROOM) end
  end
  all(source, copy)
  if free and room() < 0 then
    all(target, remove)
    return redis.error_reply(NOROOM)
  end
else
  all(target, doing == 'remove' and remove or keep)
end
-- What the time is measured by, and whether it is still there.
if doing == 'copy' then
  redis.call('SET', target .. 'alive', 1)
  redis.call('PEXPIREAT', target .. 'alive', time)
  local base, names = ARGV[5], {}
  if base == '' then return names end
  for _, name in ipairs(redis.call('ZRANGE', base .. ':namespaces', 0, -1)) do
    local tag = name:gsub('[{}%%]', function(c) return string.format('%%%02X', c:byte()) end)
    local row = redis.call('HGET', base .. ':{' .. tag .. '}:meta', 'record')
    if row then
      names[#names + 1] = name
      names[#names + 1] = row
    end
  end
  return names
end
if doing == 'remove' then return redis.call('UNLINK', target .. 'alive') end
return redis.call('PEXPIREAT', target .. 'alive', time)
