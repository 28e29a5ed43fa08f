#!lua
-- Appends to streams that are there: those of several batches in one call. Each stream is decided and
-- then written; what could fail of it fails before or with its first write. What cannot be taken is
-- left as it is and named in the answer: it is for the commit script, which knows why. What this takes
-- stands in appending.rs.
local call, pcall, format, unpack = redis.call, redis.pcall, string.format, unpack
local KEYS, ARGV = KEYS, ARGV
local calls, streams = KEYS[1], KEYS[2]
local slot, n, keep, least, channel, hint = unpack(ARGV, 1, 6)

-- As in the commit script.
local sent = call('HGET', calls, slot)
if sent then
  local seen, answer = sent:match('^(%d+) (.*)$')
  if tonumber(seen) == tonumber(n) then return answer end
  if tonumber(seen) > tonumber(n) then return 'stale' end
end
local clock = call('TIME')
local now = format('%.0f', math.max(least, clock[1] * 1000 + math.floor(clock[2] / 1000)))

-- Conditions: of each hash the key and the versions wanted, one more than they are; 0 is any.
local plan, p, at = cmsgpack.unpack(ARGV[7]), 1, 7
local holds, h = {}, 0
for _ = 1, plan[1] do
  local count = plan[p + 2]
  local rows = pcall('HMGET', KEYS[plan[p + 1]], unpack(ARGV, at + 1, at + count))
  p = p + 2
  for i = 1, count do
    local row, wanted, found = rows[i], plan[p + i], 0
    if row then found = tonumber(row:match('^%d+') or -1) end
    holds[h + i] = not rows.err and (found + 1 == wanted or wanted == 0 and row and true)
  end
  p, at, h = p + count, at + count, h + count
end

-- Streams: the place of the keys, how many entries, whether any has an id, and lots: the conditions,
-- the places of the turn and of its index, and of each batch how many entries and bytes.
p = p + 1
local count = plan[p]
local heads = call('HMGET', streams, unpack(ARGV, at + 1, at + count))
local fields = at
at = at + count
local HEAD = '^(%x+\31%d+)\31(' .. ('%d'):rep(10) .. ')(%d+)\31(%d+)\31(%d+)\31%d+\31(%d+)\31(%d+)(\31%d+)$'
local firsts, left, rows, l, r, batch = {}, {}, {}, 0, 0, 0
-- What is to be written to a stream; only so much counts as the stream has.
local entries, ids, turns = {}, {}, {}
for s = 1, count do
  local key, size, has_ids, lots = plan[p + 1], plan[p + 2], plan[p + 3], plan[p + 4]
  p = p + 4
  local field, before, head, known = ARGV[fields + s], batch, heads[s], nil
  local begins, high, low, entries_before, bytes, version, turned, referring
  if head then begins, high, low, entries_before, bytes, version, turned, referring = head:match(HEAD) end
  -- Lua counts exactly to 2^53: nine digits of a number are counted, where they do not overflow.
  if begins and (low + size > 999999999 or high > '9223372035') then begins = nil end
  low = begins and tonumber(low)
  if begins and has_ids == 1 then
    known = pcall('HMGET', KEYS[key + 1], unpack(ARGV, at + 1, at + size))
    if known.err then begins = nil end
  end
  local number, added, taken, i, e, d, t, first, turns_key = low, 0, 0, 0, 0, 0, 0, nil, nil
  for _ = 1, lots do
    local fits, conditions = begins, plan[p + 1]
    for c = p + 2, p + 1 + conditions do fits = fits and holds[plan[c]] end
    p = p + 1 + conditions
    local turn, batches = plan[p + 1], plan[p + 3]
    if fits and turn > 0 then
      turns_key = KEYS[plan[p + 2]]
      if type(pcall('ZCARD', turns_key)) == 'table' then fits = nil end
    end
    p = p + 3
    for _ = 1, batches do
      local takes, to = fits, i + plan[p + 1]
      if takes and known then
        for j = i + 1, to do
          if known[j] then takes = nil end
        end
      end
      batch = batch + 1
      if takes then
        for j = i + 1, to do
          number = number + 1
          local digits, id = format('%s%09d', high, number), ARGV[at + j]
          first = first or digits
          entries[e + 1], entries[e + 2], e = 0, digits .. now .. ARGV[at + size + j], e + 2
          if id ~= '' then ids[d + 1], ids[d + 2], d = id, digits, d + 2 end
          if turn > 0 then
            turns[t + 1], turns[t + 2], t = 0, ARGV[turn] .. field:match('\31.*$') .. '\31' .. digits, t + 2
          end
        end
        added, taken = added + plan[p + 2], taken + 1
      else
        l = l + 1
        left[l] = batch
      end
      p, i = p + 2, to
    end
  end
  at = at + 2 * size
  if taken > 0 and type(pcall('ZADD', KEYS[key], unpack(entries, 1, e))) == 'table' then
    for b = before + 1, batch do
      l = l + 1
      left[l] = b
    end
    first = nil
  elseif taken > 0 then
    if d > 0 then
      local ids_key, part = KEYS[key + 1], entries_before / 64
      -- The server keeps up to 512 fields as a list, which it goes through for each id. A long value
      -- makes it a table, until a restart; so it is done again now and then.
      if part < 8 and math.floor(part) < math.floor((entries_before + d / 2) / 64) then
        call('HSET', ids_key, '\31', ('-'):rep(65))
        call('HDEL', ids_key, '\31')
      end
      call('HSET', ids_key, unpack(ids, 1, d))
    end
    if t > 0 then call('ZADD', turns_key, unpack(turns, 1, t)) end
    if entries_before == '0' then begins = begins:match('^%x+\31') .. first end
    rows[r + 1], rows[r + 2], r = field, format('%s\31%s%09d\31%d\31%d\31%s\31%d\31%d%s', begins, high, number,
      entries_before + number - low, bytes + added, now, version + taken, turned + t / 2, referring), r + 2
  end
  firsts[s] = first or '-'
end

local answer = format('ok %s %s %s', now, table.concat(firsts, ','), table.concat(left, ','))
if r == 0 then return answer end
call('HSET', streams, unpack(rows))
-- As in the commit script. A hint may be for nothing.
pcall('PUBLISH', channel, hint)
call('HSET', calls, slot, n .. ' ' .. answer)
if keep ~= '' then call('PEXPIRE', calls, keep) end
return answer
