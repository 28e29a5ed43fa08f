#!lua flags=no-writes
-- Records of namespaces by their names, of one moment: only where all are on one server.
local base, from, to, reverse, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local out = {}
repeat
  local page
  if reverse == '1' then page = redis.call('ZREVRANGEBYLEX', KEYS[1], to, from, 'LIMIT', 0, 1000)
  else page = redis.call('ZRANGEBYLEX', KEYS[1], from, to, 'LIMIT', 0, 1000) end
  for _, name in ipairs(page) do
    if #out >= 2 * limit then break end
    local tag = name:gsub('[{}%%]', function(c) return string.format('%%%02X', c:byte()) end)
    local row = redis.call('HGET', base .. ':{' .. tag .. '}:meta', 'record')
    if row then
      out[#out + 1] = name
      out[#out + 1] = row
    end
    if reverse == '1' then to = '(' .. name else from = '(' .. name end
  end
until #page < 1000 or #out >= 2 * limit
return out
