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

-- Conditions: of each hash the key; the records and what they have to begin with: nothing is any, and
-- '-' is none.
local plan, p, at = cmsgpack.unpack(ARGV[7]), 1, 7
local holds, h = {}, 0
for _ = 1, plan[1] do
  local count = plan[p + 2]
  local rows = pcall('HMGET', KEYS[plan[p + 1]], unpack(ARGV, at + 1, at + count))
  at = at + count
  for i = 1, count do
    local row, wanted = rows[i], ARGV[at + i]
    if row then holds[h + i] = row:sub(1, #wanted) == wanted else holds[h + i] = not rows.err and wanted == '-' end
  end
  p, at, h = p + 2, at + count, h + count
end

-- The server keeps up to 512 fields as a list, which it goes through for each id. A long value makes it
-- a table, until a restart; so it is done again now and then.
local function as_table(key)
  call('HSET', key, '\31', ('-'):rep(65))
  call('HDEL', key, '\31')
end

-- Streams: the place of the keys, whether any entry has an id (2: and the list of ids is to be a table),
-- and what is known of the head, if it is one entry of one batch without a turn: what it was, and so the
-- number of the entry, and what the head becomes but for the time (1); nothing, and it is asked (2).
-- Otherwise (0) how many entries, how many lots, and for each lot, after its conditions, the places of
-- the turn and of its index, and of each batch how many entries and bytes.
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
  local key, has_ids, knows, size, lots = unpack(plan, p + 1, p + 5)
  if knows == 0 then p = p + 5 else p, size, lots = p + 3, 1, 1 end
  local field, head = ARGV[fields + s], heads[s]
  if knows == 1 and head == ARGV[at + 3] then
    local fits, id, digits, conditions = true, ARGV[at + 1], ARGV[at + 4], plan[p + 1]
    for c = p + 2, p + 1 + conditions do fits = fits and holds[plan[c]] end
    p, batch = p + 1 + conditions, batch + 1
    if fits and id ~= '' then fits = pcall('HSETNX', KEYS[key + 1], id, digits) == 1 end
    if fits and pcall('ZADD', KEYS[key], '0', digits .. now .. ARGV[at + 2]) ~= 1 then
      if id ~= '' then call('HDEL', KEYS[key + 1], id) end
      fits = false
    end
    if fits then
      if has_ids == 2 then as_table(KEYS[key + 1]) end
      rows[r + 1], rows[r + 2], r = field, ARGV[at + 5] .. now .. ARGV[at + 6], r + 2
    else
      l = l + 1
      left[l] = batch
    end
    firsts[s] = '='
  else
    local before, known = batch, nil
    local begins, high, low, entries_before, bytes, version, turned, referring
    if head then begins, high, low, entries_before, bytes, version, turned, referring = head:match(HEAD) end
    -- Lua counts exactly to 2^53: nine digits of a number are counted, where they do not overflow.
    if begins and (low + size > 999999999 or high > '9223372035') then begins = nil end
    low = begins and tonumber(low)
    if begins and has_ids > 0 then
      known = pcall('HMGET', KEYS[key + 1], unpack(ARGV, at + 1, at + size))
      if known.err then begins = nil end
    end
    local number, added, taken, i, e, d, t, first, turns_key = low, 0, 0, 0, 0, 0, 0, nil, nil
    for _ = 1, lots do
      local fits, conditions = begins, plan[p + 1]
      for c = p + 2, p + 1 + conditions do fits = fits and holds[plan[c]] end
      p = p + 1 + conditions
      local turn, index, batches = 0, 0, 1
      if knows == 0 then
        turn, index, batches = unpack(plan, p + 1, p + 3)
        p = p + 3
      end
      if fits and turn > 0 then
        turns_key = KEYS[index]
        if type(pcall('ZCARD', turns_key)) == 'table' then fits = nil end
      end
      for _ = 1, batches do
        local takes, to, weight = fits, i + 1, nil
        if knows == 0 then
          to, weight = i + plan[p + 1], plan[p + 2]
          p = p + 2
        else
          weight = #ARGV[at + 2] - ARGV[at + 2]:find('\n', 1, true)
        end
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
            entries[e + 1], entries[e + 2], e = '0', digits .. now .. ARGV[at + size + j], e + 2
            if id ~= '' then ids[d + 1], ids[d + 2], d = id, digits, d + 2 end
            if turn > 0 then
              turns[t + 1], turns[t + 2], t = '0', ARGV[turn] .. field:match('\31.*$') .. '\31' .. digits, t + 2
            end
          end
          added, taken = added + weight, taken + 1
        else
          l = l + 1
          left[l] = batch
        end
        i = to
      end
    end
    if taken > 0 and type(pcall('ZADD', KEYS[key], unpack(entries, 1, e))) == 'table' then
      for b = before + 1, batch do
        l = l + 1
        left[l] = b
      end
      first = nil
    elseif taken > 0 then
      if d > 0 then
        local ids_key, part = KEYS[key + 1], entries_before / 64
        if part < 8 and math.floor(part) < math.floor((entries_before + d / 2) / 64) then as_table(ids_key) end
        call('HSET', ids_key, unpack(ids, 1, d))
      end
      if t > 0 then call('ZADD', turns_key, unpack(turns, 1, t)) end
      if entries_before == '0' then begins = begins:match('^%x+\31') .. first end
      local row = format('%s\31%s%09d\31%d\31%d\31%s\31%d\31%d%s', begins, high, number,
        entries_before + number - low, bytes + added, now, version + taken, turned + t / 2, referring)
      rows[r + 1], rows[r + 2], r = field, row, r + 2
      if knows > 0 then first = row end
    end
    firsts[s] = first or '-'
  end
  at = at + 2 * size
  if knows == 1 then at = at + 4 end
end

-- What each stream gave first, or its head if it was asked.
local answer = format('ok %s %s %s', now, table.concat(firsts, ','), table.concat(left, ','))
if r == 0 then return answer end
call('HSET', streams, unpack(rows))
-- As in the commit script. A hint may be for nothing.
pcall('PUBLISH', channel, hint)
call('HSET', calls, slot, n .. ' ' .. answer)
if keep ~= '' then call('PEXPIRE', calls, keep) end
return answer
