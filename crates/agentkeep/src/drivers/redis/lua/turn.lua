#!lua flags=no-writes
-- Entries that one turn wrote: stream, entry, and so on. Their streams are known only here; their
-- keys have the namespace's hash tag, as all.
local prefix, turn, reverse, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local from, to = '[' .. turn .. '\31', '(' .. turn .. ' '
local places
if reverse == '1' then places = redis.call('ZREVRANGEBYLEX', KEYS[1], to, from, 'LIMIT', 0, limit)
else places = redis.call('ZRANGEBYLEX', KEYS[1], from, to, 'LIMIT', 0, limit) end
local out = {}
for _, place in ipairs(places) do
  local stream, number = place:match('^[^\31]*\31(.*)\31(%d+)$')
  local found = redis.call('ZRANGEBYLEX', prefix .. stream, '[' .. number, '(' .. number .. ':', 'LIMIT', 0, 1)
  out[#out + 1] = stream
  out[#out + 1] = found[1] or ''
end
return out
