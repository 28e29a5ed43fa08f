#!lua flags=no-writes
-- Entries by their ids: which of those asked for, entry, and so on.
local limit = tonumber(ARGV[1])
local out = {}
for i = 2, #ARGV do
  if #out >= 2 * limit then break end
  local ids, entries = KEYS[2 * i - 3], KEYS[2 * i - 2]
  local number = redis.call('HGET', ids, ARGV[i])
  if number then
    local found = redis.call('ZRANGEBYLEX', entries, '[' .. number, '(' .. number .. ':', 'LIMIT', 0, 1)
    if found[1] then
      out[#out + 1] = i - 2
      out[#out + 1] = found[1]
    end
  end
end
return out
