#!lua flags=no-writes
-- Records by a stretch of an index: key, row, key, row, ...
local index, rows = KEYS[1], KEYS[2]
local from, to, reverse, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local places
if reverse == '1' then places = redis.call('ZREVRANGEBYLEX', index, to, from, 'LIMIT', 0, limit)
else places = redis.call('ZRANGEBYLEX', index, from, to, 'LIMIT', 0, limit) end
local out = {}
for first = 1, #places, 1000 do
  local keys = {}
  for i = first, math.min(first + 999, #places) do
    -- A place ends in the record's key and its length.
    local place = places[i]
    local high, low = place:byte(-2, -1)
    keys[#keys + 1] = place:sub(-2 - high * 256 - low, -3)
  end
  local found = redis.call('HMGET', rows, unpack(keys))
  for i = 1, #keys do
    out[#out + 1] = keys[i]
    out[#out + 1] = found[i]
  end
end
return out
