#!lua flags=no-writes
-- Fields of hashes, or whole texts where no field is named.
local out = {}
for i, field in ipairs(ARGV) do
  if field == '' then out[i] = redis.call('GET', KEYS[i])
  else out[i] = redis.call('HGET', KEYS[i], field) end
end
return out
