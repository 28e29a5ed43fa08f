#!lua flags=no-writes
-- Stretches of streams: their heads, how many entries of each, and the entries.
local reverse, limit = ARGV[1] == '1', tonumber(ARGV[2])
local count = (#ARGV - 2) / 3
local heads, counts, entries = {}, {}, {}
for i = 1, count do
  heads[i] = redis.call('HGET', KEYS[1], ARGV[3 * i])
  counts[i] = 0
end
local first, last, by = 1, count, 1
if reverse then first, last, by = count, 1, -1 end
for i = first, last, by do
  if #entries >= limit then break end
  local from, to = '[' .. ARGV[3 * i + 1], '(' .. ARGV[3 * i + 2] .. ':'
  local found
  if reverse then found = redis.call('ZREVRANGEBYLEX', KEYS[i + 1], to, from, 'LIMIT', 0, limit - #entries)
  else found = redis.call('ZRANGEBYLEX', KEYS[i + 1], from, to, 'LIMIT', 0, limit - #entries) end
  counts[i] = #found
  for j = 1, #found do entries[#entries + 1] = found[j] end
end
return {heads, counts, entries}
