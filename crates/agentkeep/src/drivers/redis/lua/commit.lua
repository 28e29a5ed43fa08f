#!lua
-- One commit: everything is read and decided first, and written only when nothing was refused.
-- What it takes stands in encode.rs, what it answers in ../server/answer.rs.
local call = redis.call
-- True in the form that is called when memory is full: what takes more than it gives back is refused.
-- `grown` counts about how many bytes, and so many may be for the notes of what is to be removed.
local full, grown, NOTES = false, 0, 1024
local meta, calls, operations, operation_times = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local streams, stream_order = KEYS[5], KEYS[6]
local blobs, blob_order, blob_free = KEYS[7], KEYS[8], KEYS[9]
local at = 0
local function take() at = at + 1 return ARGV[at] end
local function count() return tonumber(take()) end

local slot, n, keep, least = take(), count(), take(), count()
local operation, digest, turn, name_tail = take(), take(), take(), take()
local channel, namespace = take(), take()

-- The same call may have come before, by a connection that broke; a late one must not count.
local sent = call('HGET', calls, slot)
if sent then
  local seen, answer = sent:match('^(%d+) (.*)$')
  if tonumber(seen) == n then return answer end
  if tonumber(seen) > n then return 'stale' end
end
if operation ~= '' then
  call('ZCARD', operation_times)
  local known = call('HGET', operations, operation)
  if known then
    if known:sub(1, #digest) == digest then return 'ok 1 ' .. known:sub(#digest + 2) end
    return 'no 0 operation'
  end
end

local function text(number) return string.format('%.0f', number) end
local clock = call('TIME')
local now = text(math.max(least, clock[1] * 1000 + math.floor(clock[2] / 1000)))

-- Numbers of entries have up to 63 bits, more than Lua counts exactly: 19 digits in text.
local ZERO, LARGEST = ('0'):rep(19), '9223372036854775806'
local function plus(number, more)
  local low = tonumber(number:sub(11)) + more
  return string.format('%010.0f%09.0f', tonumber(number:sub(1, 10)) + math.floor(low / 1e9), low % 1e9)
end
local function plain(number) return (number:gsub('^0+(%d)', '%1')) end

-- Arguments of one call are limited by Lua's stack.
local function many(command, key, list)
  for i = 1, #list, 2000 do call(command, key, unpack(list, i, math.min(i + 1999, #list))) end
end

-- What the namespace knows of itself: its record, and the largest version of a deleted record,
-- of a dropped stream, of a dropped blob, of its own deleted record.
local facts = call('HMGET', meta, 'record', 'floor', 'floor:streams', 'floor:blobs', 'floor:namespace')
local FLOORS = {'floor', 'floor:streams', 'floor:blobs', 'floor:namespace'}
local floors, raised = {}, {}
for i = 1, 4 do floors[i] = tonumber(facts[i + 1] or 0) end
local function raise(i, version)
  if version > floors[i] then floors[i] = version raised[i] = true end
end
local name, name_before = facts[1], facts[1]
local made, held = false, 0

-- Blobs.
local known_blobs, changed_blobs = {}, {}
local function blob_of(hash)
  local blob = known_blobs[hash]
  if blob then return blob end
  local row = call('HGET', blobs, hash)
  blob = {there = false, refs = 0, since = ''}
  if row then
    local size, refs, since, version = row:match('^(%d+)\31(%d+)\31(%d*)\31(%d+)$')
    blob = {there = true, size = size, refs = tonumber(refs), since = since, version = tonumber(version)}
    blob.before = {refs = blob.refs, since = since}
  end
  known_blobs[hash] = blob
  return blob
end
local function change_blob(hash, blob)
  if not blob.changed then blob.changed = true changed_blobs[#changed_blobs + 1] = hash end
end
-- Counts a reference to each; answers the first that is not there.
local function refer(list)
  for hash in list:gmatch('%x+') do
    local blob = blob_of(hash)
    if not blob.there then return hash end
    blob.refs = blob.refs + 1
    blob.since = ''
    change_blob(hash, blob)
  end
end
local function release(list)
  for hash in list:gmatch('%x+') do
    local blob = blob_of(hash)
    if blob.there then
      blob.refs = math.max(blob.refs - 1, 0)
      blob.since = blob.refs == 0 and now or ''
      change_blob(hash, blob)
    end
  end
end
-- The place in the index by_unreferenced, as Value::encode writes it.
local function free_place(since, hash)
  local value = '\0'
  if since ~= '' then
    local ms = tonumber(since)
    local real = struct.pack('>d', ms)
    value = '\3' .. string.char(real:byte(1) + 128) .. real:sub(2) .. '\1'
      .. struct.pack('>I4I4', 2147483648 + math.floor(ms / 4294967296), ms % 4294967296)
  end
  return value .. hash .. '\0\64'
end

-- Streams. `over` has the entries that this commit wrote, `from` the first that it did not trim.
local opened, opened_order = {}, {}
local ENTRY = '^' .. ('%d'):rep(19) .. '(%d+)\31(%d*)\31([^\31]*)\31([^\31]*)\31([^\31]*)\31%x+\n()'
local function stream_of(op)
  local stream = opened[op.field]
  if stream then return stream end
  stream = {entries = KEYS[op.e], ids = KEYS[op.i], turns = KEYS[op.t], name = op.field:match('\31(.*)$'),
    from = ZERO, news = {}, over = {}, rewritten = {}, new_ids = {}, dead_ids = {}, dead_turns = {}}
  local row = call('HGET', streams, op.field)
  if row then
    local birth, first, last, entries, bytes, _, version, turned, referring = row:match(
      '^(%x+)\31(%d+)\31(%d+)\31(%d+)\31(%d+)\31(%d+)\31(%d+)\31(%d+)\31(%d+)$')
    stream.head = {birth = birth, first = first, last = last, count = tonumber(entries),
      bytes = tonumber(bytes), turned = tonumber(turned), referring = tonumber(referring)}
    stream.version, stream.base, stream.stored = tonumber(version), true, true
  end
  opened[op.field] = stream
  opened_order[#opened_order + 1] = op.field
  return stream
end
local function entry_of(stream, number)
  if stream.over[number] then return stream.over[number] end
  if not stream.base or number < stream.from then return nil end
  return call('ZRANGEBYLEX', stream.entries, '[' .. number, '(' .. number .. ':', 'LIMIT', 0, 1)[1]
end
local function number_by_id(stream, id)
  if stream.new_ids[id] then return stream.new_ids[id] end
  if not stream.base then return nil end
  local number = call('HGET', stream.ids, id)
  if number and number >= stream.from then return number end
end
-- Takes an entry away, in mind: answers the bytes of its body.
local function forget(stream, member, refs_of)
  local number = member:sub(1, 19)
  member = stream.over[number] or member
  local _, _, id, of_turn, refs, body = member:match(ENTRY)
  if id ~= '' then stream.dead_ids[#stream.dead_ids + 1] = id stream.new_ids[id] = nil end
  if of_turn ~= '' then
    stream.head.turned = stream.head.turned - 1
    stream.dead_turns[#stream.dead_turns + 1] = of_turn .. '\31' .. stream.name .. '\31' .. number
  end
  if refs ~= '' then
    stream.head.referring = stream.head.referring - 1
    refs_of[#refs_of + 1] = refs
  end
  stream.over[number], stream.rewritten[number] = nil, nil
  return #member - body + 1
end
-- Takes all entries below a number away, in mind.
local function forget_below(stream, before, refs_of)
  local removed, bytes = 0, 0
  if stream.base then
    local from = '[' .. stream.from
    repeat
      local page = call('ZRANGEBYLEX', stream.entries, from, '(' .. before, 'LIMIT', 0, 500)
      for _, member in ipairs(page) do
        bytes = bytes + forget(stream, member, refs_of)
        removed = removed + 1
        from = '(' .. member
      end
    until #page < 500
  end
  local left = {}
  for _, number in ipairs(stream.news) do
    if number < before then
      bytes = bytes + forget(stream, stream.over[number], refs_of)
      removed = removed + 1
    else
      left[#left + 1] = number
    end
  end
  stream.news = left
  if before > stream.from then stream.from = before end
  return removed, bytes
end

-- Records: each is written once in a batch, so what the server has is what was before.
local puts, deletes = {}, {}
local function version_in(kind, row)
  if not row then return 0 end
  if kind == 'r' then return tonumber(row:match('^%d+')) end
  if kind == 's' then return tonumber(row:match('^%x+\31%d+\31%d+\31%d+\31%d+\31%d+\31(%d+)')) end
  return tonumber(row:match('(%d+)$'))
end
local function refs_in(row) return row:match('^%d+\31[^\31]*\31([^\31]*)\31') end

-- Preconditions.
local expects, step = count(), 0
local operations_count = count()
for i = 1, expects do
  local kind = take()
  local refused
  if kind == 'version' then
    local of, hash, key, wanted = take(), KEYS[count()], take(), take()
    local found = text(version_in(of, call('HGET', hash, key)))
    if found ~= wanted then refused = 'version ' .. found end
  elseif kind == 'exists' or kind == 'absent' then
    local hash, key = KEYS[count()], take()
    local there = call('HEXISTS', hash, key) == 1
    if there and kind == 'absent' then refused = 'there' end
    if not there and kind == 'exists' then refused = 'missing' end
  elseif kind == 'ends' then
    local field, wanted = take(), take()
    local row = call('HGET', streams, field)
    local last = row and plain(row:match('^%x+\31%d+\31(%d+)')) or '0'
    if last ~= wanted then refused = 'ends ' .. last end
  elseif kind == 'norecord' then
    local index, low, high = KEYS[count()], take(), take()
    if #call('ZRANGEBYLEX', index, low, high, 'LIMIT', 0, 1) > 0 then refused = 'has' end
  elseif kind == 'noname' then
    local wanted = take()
    if name and name:match('^%d+\31([^\31]*)') == wanted then refused = 'has' end
  elseif kind == 'blob' then
    local hash = take()
    if not blob_of(hash).there then refused = 'noblob ' .. hash end
  end
  if refused then return 'no ' .. i .. ' ' .. refused end
end

-- The operations, as tables.
local list, answering = {}, false
for i = 1, operations_count do
  local op = {kind = take()}
  local kind = op.kind
  if kind == 'append' or kind == 'trim' or kind == 'rewrite' or kind == 'drop' then
    op.field, op.e, op.i, op.t = take(), count(), count(), count()
    if kind == 'append' then
      op.topic, op.birth, op.answers, op.start, op.size = take(), take(), take() == '1', take(), count()
      op.at = at
      at = at + 3 * op.size
      if op.answers and op.size > 0 then answering = true end
    elseif kind == 'trim' then op.before = take()
    elseif kind == 'rewrite' then op.number, op.refs, op.tail = take(), take(), take()
    end
  elseif kind == 'put' then
    op.group, op.key, op.save, op.refs = count(), take(), take(), take()
    op.tail, op.places, op.place = take(), take(), take()
  elseif kind == 'delete' then op.group, op.key, op.place = count(), take(), take()
  elseif kind == 'name' then op.save, op.refs, op.tail = take(), take(), take()
  elseif kind == 'unname' then
    op.hashes = {}
    for j = 1, count() do op.hashes[j] = KEYS[count()] end
  elseif kind == 'putblob' then op.hash, op.key, op.bytes = take(), KEYS[count()], take()
  elseif kind == 'dropblob' then op.hash, op.key = take(), KEYS[count()]
  end
  list[i] = op
end

-- Keeps what an operation id stands for, and forgets what is old enough.
local function remember(done)
  if operation == '' then return end
  call('HSET', operations, operation, digest .. ' ' .. done)
  call('ZADD', operation_times, now, operation)
  if call('ZCARD', operation_times) <= 100000 then return end
  local old = call('ZRANGE', operation_times, 0, 3, 'WITHSCORES')
  for i = 1, #old, 2 do
    if tonumber(old[i + 1]) < tonumber(now) - 86400000 then
      call('HDEL', operations, old[i])
      call('ZREM', operation_times, old[i])
    end
  end
end
local function answer(line)
  call('HSET', calls, slot, text(n) .. ' ' .. line)
  if keep ~= '' then call('PEXPIRE', calls, keep) end
  return line
end

-- Entries that are known with equal bodies: then the whole batch is left out.
if answering then
  local out, missing = {}, false
  for i, op in ipairs(list) do
    local found = 'L'
    if op.kind == 'append' and op.answers and op.size > 0 then
      local stream, numbers = stream_of(op), {}
      for j = 0, op.size - 1 do
        local id, tail = ARGV[op.at + 3 * j + 1], ARGV[op.at + 3 * j + 3]
        local number = id ~= '' and number_by_id(stream, id)
        if number then
          local member = entry_of(stream, number)
          if member:sub(select(6, member:match(ENTRY))) ~= tail:sub(tail:find('\n', 1, true) + 1) then
            return 'no ' .. (expects + 1 + i) .. ' differs'
          end
          numbers[#numbers + 1] = plain(number)
        end
      end
      if #numbers == op.size then found = 'A' .. table.concat(numbers, ',') else missing = true end
    end
    out[i] = found
  end
  if not missing then
    local done = now .. ' ' .. table.concat(out, ' ')
    if operation == '' then return 'ok 1 ' .. done end
    remember(done)
    return answer('ok 1 ' .. done)
  end
end

-- Each answers what it did, or nothing and why not.
local apply = {}
function apply.append(op)
  local stream = stream_of(op)
  if not stream.head then
    stream.head = {birth = op.birth, first = plus(ZERO, 1), last = ZERO, count = 0, bytes = 0, turned = 0, referring = 0}
    stream.changed = true
    held = held + 1
  end
  local head = stream.head
  local first = op.start
  if first == 'far' then return nil, 'numbers' end
  if first == '' then first = plus(head.last, 1)
  elseif first <= head.last then return nil, 'start ' .. plain(head.last) end
  if op.size > 0 and plus(first, op.size - 1) > LARGEST or op.size == 0 and first > plus(LARGEST, 1) then
    return nil, 'numbers'
  end
  local bytes = 0
  for j = 0, op.size - 1 do
    local id, refs, tail = ARGV[op.at + 3 * j + 1], ARGV[op.at + 3 * j + 2], ARGV[op.at + 3 * j + 3]
    local number = plus(first, j)
    if id ~= '' then
      if number_by_id(stream, id) then return nil, 'known' end
      stream.new_ids[id] = number
    end
    if refs ~= '' then
      local missing = refer(refs)
      if missing then return nil, 'noblob ' .. missing end
      head.referring = head.referring + 1
    end
    if turn ~= '' then head.turned = head.turned + 1 end
    stream.news[#stream.news + 1] = number
    stream.over[number] = number .. now .. tail
    bytes = bytes + #tail - tail:find('\n', 1, true)
  end
  if op.size > 0 then
    if head.count == 0 then head.first = first end
    head.last = plus(first, op.size - 1)
    head.count, head.bytes = head.count + op.size, head.bytes + bytes
    stream.changed, stream.told = true, op.topic
  end
  made = true
  return 'A' .. plain(first) .. '-' .. op.size
end
function apply.trim(op)
  local stream = stream_of(op)
  local head = stream.head
  if not head then return nil, 'nostream' end
  local refs = {}
  local removed, bytes = forget_below(stream, op.before, refs)
  for _, gone in ipairs(refs) do release(gone) end
  if removed > 0 then
    head.count, head.bytes, grown = head.count - removed, head.bytes - bytes, grown - bytes
    local first = stream.base and call('ZRANGEBYLEX', stream.entries, '[' .. stream.from, '+', 'LIMIT', 0, 1)[1]
    head.first = first and first:sub(1, 19) or stream.news[1] or plus(head.last, 1)
    stream.changed = true
  end
  return 'T' .. removed
end
function apply.rewrite(op)
  local stream = stream_of(op)
  if not stream.head then return nil, 'nostream' end
  local old = entry_of(stream, op.number)
  if not old then return nil, 'noentry' end
  local missing = refer(op.refs)
  if missing then return nil, 'noblob ' .. missing end
  local head = stream.head
  local time, _, id, of_turn, refs, body = old:match(ENTRY)
  if not stream.over[op.number] then stream.rewritten[op.number] = old end
  stream.over[op.number] = op.number .. time .. '\31' .. now .. '\31' .. id .. '\31' .. of_turn .. '\31' .. op.tail
  local more = #op.tail - op.tail:find('\n', 1, true) - (#old - body + 1)
  head.bytes, grown = head.bytes + more, grown + more
  head.referring = head.referring - (refs ~= '' and 1 or 0) + (op.refs ~= '' and 1 or 0)
  stream.changed = true
  release(refs)
  return 'W'
end
function apply.drop(op)
  local stream = stream_of(op)
  if not stream.head then return 'X0' end
  grown = grown - stream.head.bytes
  -- Where nothing refers to entries but their stream, they need not be looked at.
  if stream.head.turned > 0 or stream.head.referring > 0 then
    local refs = {}
    forget_below(stream, plus(LARGEST, 1), refs)
    for _, gone in ipairs(refs) do release(gone) end
  end
  if stream.version then raise(2, stream.version) end
  stream.head, stream.version, stream.told = nil, nil, nil
  stream.base, stream.wipe, stream.changed = false, true, true
  stream.from, stream.news, stream.over, stream.rewritten, stream.new_ids = ZERO, {}, {}, {}, {}
  held = held - 1
  return 'X1'
end
local function refuse_save(save, found)
  if save == 'new' then return found > 0 and 'there' or nil end
  if save ~= '' and save ~= text(found) then return 'version ' .. text(found) end
end
function apply.put(op)
  local old = call('HGET', KEYS[op.group], op.key)
  local found = version_in('r', old)
  local refused = refuse_save(op.save, found)
  if refused then return nil, refused end
  local missing = refer(op.refs)
  if missing then return nil, 'noblob ' .. missing end
  if old then release(refs_in(old)) else held, grown = held + 1, grown + 2 * #op.key end
  op.version, op.new = text((old and found or floors[1]) + 1), not old
  op.old_places = call('HGET', KEYS[op.group + 1], op.key) or ''
  grown = grown + #op.tail + #op.places - #(old or '') - #op.old_places
  puts[#puts + 1] = op
  made = true
  return 'P' .. op.version
end
function apply.delete(op)
  local old = call('HGET', KEYS[op.group], op.key)
  if not old then return 'D0' end
  raise(1, version_in('r', old))
  release(refs_in(old))
  op.old_places = call('HGET', KEYS[op.group + 1], op.key) or ''
  deletes[#deletes + 1] = op
  held, grown = held - 1, grown - #old - #op.old_places
  return 'D1'
end
function apply.name(op)
  local found = version_in('r', name)
  local refused = refuse_save(op.save, found)
  if refused then return nil, refused end
  local missing = refer(op.refs)
  if missing then return nil, 'noblob ' .. missing end
  if name then release(refs_in(name)) end
  grown = grown + #op.tail - #(name or '')
  local version = text((name and found or floors[4]) + 1)
  name = version .. op.tail
  made = true
  return 'P' .. version
end
function apply.unname(op)
  local holds = held
  for _, hash in ipairs(op.hashes) do holds = holds + call('HLEN', hash) end
  if holds > 0 then return nil, 'holds' end
  made = false
  if not name then return 'D0' end
  raise(4, version_in('r', name))
  release(refs_in(name))
  name = false
  return 'D1'
end
function apply.putblob(op)
  local blob = blob_of(op.hash)
  if blob.there then return 'K0' end
  blob.there, blob.size, blob.refs, blob.since = true, text(#op.bytes), 0, now
  blob.key, blob.bytes = op.key, op.bytes
  change_blob(op.hash, blob)
  held, made = held + 1, true
  return 'K1'
end
function apply.dropblob(op)
  local blob = blob_of(op.hash)
  if not blob.there then return 'B0' end
  if blob.refs > 0 then return nil, 'referenced ' .. text(blob.refs) end
  grown = grown - blob.size
  if blob.version then raise(3, blob.version) end
  blob.there, blob.version, blob.key, blob.bytes = false, nil, op.key, nil
  change_blob(op.hash, blob)
  held = held - 1
  return 'B1'
end
function apply.foreign() return nil, 'foreign' end

local out = {}
for i, op in ipairs(list) do
  local done, why = apply[op.kind](op)
  if why then return 'no ' .. (expects + 1 + i) .. ' ' .. why end
  out[i] = done
end
if full and grown > NOTES then return redis.error_reply('OOM it takes more than it gives back') end
if made and not name then name = text(floors[4] + 1) .. name_tail end

-- The packed places of a record: which index, how long, the place.
local function each_place(packed, with)
  local i = 1
  while i <= #packed do
    local index, high, low = packed:byte(i, i + 2)
    local size = high * 256 + low
    with(index, packed:sub(i + 3, i + 2 + size))
    i = i + 3 + size
  end
end
local function move_places(group, old, new)
  if old == new then return end
  local stays = {}
  each_place(new, function(index, place) stays[index .. ' ' .. place] = true end)
  each_place(old, function(index, place)
    if stays[index .. ' ' .. place] then stays[index .. ' ' .. place] = nil
    else call('ZREM', KEYS[group + 3 + index], place) end
  end)
  each_place(new, function(index, place)
    if stays[index .. ' ' .. place] then call('ZADD', KEYS[group + 3 + index], 0, place) end
  end)
end

-- A key of another kind, which somebody put there, is met before anything is written: hashes were read
-- already, all but one.
local sets = {}
local function is_set(key)
  if not sets[key] then
    sets[key] = true
    call('ZCARD', key)
  end
end
local function are_sets(op, old, new)
  local function meet(index) is_set(KEYS[op.group + 3 + index]) end
  if old ~= new then
    each_place(old, meet)
    each_place(new, meet)
  end
end
for _, op in ipairs(puts) do
  if op.new then is_set(KEYS[op.group + 2]) end
  are_sets(op, op.old_places, op.places)
end
for _, op in ipairs(deletes) do
  is_set(KEYS[op.group + 2])
  are_sets(op, op.old_places, '')
end
for _, field in ipairs(opened_order) do
  local stream = opened[field]
  if stream.changed then
    is_set(stream.entries)
    if turn ~= '' or #stream.dead_turns > 0 then is_set(stream.turns) end
    if next(stream.new_ids) or #stream.dead_ids > 0 then call('HLEN', stream.ids) end
    if not stream.head ~= not stream.stored then is_set(stream_order) end
  end
end
for _, hash in ipairs(changed_blobs) do
  local blob = known_blobs[hash]
  if not blob.before ~= not blob.there then
    is_set(blob_order)
    is_set(blob_free)
  elseif blob.there and blob.before.since ~= blob.since then
    is_set(blob_free)
  end
end

-- From here on everything is written, and nothing can be refused.
for _, op in ipairs(puts) do
  call('HSET', KEYS[op.group], op.key, op.version .. op.tail)
  if op.new then call('ZADD', KEYS[op.group + 2], 0, op.place) end
  if op.places ~= op.old_places then
    move_places(op.group, op.old_places, op.places)
    if op.places ~= '' then call('HSET', KEYS[op.group + 1], op.key, op.places)
    else call('HDEL', KEYS[op.group + 1], op.key) end
  end
end
for _, op in ipairs(deletes) do
  call('HDEL', KEYS[op.group], op.key)
  call('ZREM', KEYS[op.group + 2], op.place)
  move_places(op.group, op.old_places, '')
  if op.old_places ~= '' then call('HDEL', KEYS[op.group + 1], op.key) end
end
local topics = {}
for _, field in ipairs(opened_order) do
  local stream = opened[field]
  if stream.changed then
    if #stream.dead_turns > 0 then many('ZREM', stream.turns, stream.dead_turns) end
    if stream.wipe then call('UNLINK', stream.entries, stream.ids)
    else
      if stream.from ~= ZERO then call('ZREMRANGEBYLEX', stream.entries, '-', '(' .. stream.from) end
      if #stream.dead_ids > 0 then many('HDEL', stream.ids, stream.dead_ids) end
      for number, old in pairs(stream.rewritten) do
        call('ZREM', stream.entries, old)
        call('ZADD', stream.entries, 0, stream.over[number])
      end
    end
    local head = stream.head
    if head then
      local entries, ids, turns = {}, {}, {}
      for _, number in ipairs(stream.news) do
        entries[#entries + 1] = 0
        entries[#entries + 1] = stream.over[number]
        if turn ~= '' then
          turns[#turns + 1] = 0
          turns[#turns + 1] = turn .. '\31' .. stream.name .. '\31' .. number
        end
      end
      for id, number in pairs(stream.new_ids) do
        ids[#ids + 1] = id
        ids[#ids + 1] = number
      end
      if #entries > 0 then many('ZADD', stream.entries, entries) end
      if #ids > 0 then many('HSET', stream.ids, ids) end
      if #turns > 0 then many('ZADD', stream.turns, turns) end
      local version = text((stream.version or floors[2]) + 1)
      call('HSET', streams, field, table.concat({head.birth, head.first, head.last, text(head.count),
        text(head.bytes), now, version, text(head.turned), text(head.referring)}, '\31'))
      if not stream.stored then call('ZADD', stream_order, 0, field .. struct.pack('>I2', #field)) end
      if stream.told then topics[#topics + 1] = stream.told end
    elseif stream.stored then
      call('HDEL', streams, field)
      call('ZREM', stream_order, field .. struct.pack('>I2', #field))
    end
  end
end
for _, hash in ipairs(changed_blobs) do
  local blob = known_blobs[hash]
  local before = blob.before
  if blob.there then
    -- A reference that went and came again is no change.
    local same = blob.version and before.refs == blob.refs and before.since == blob.since
    if not same then
      local version = text((blob.version or floors[3]) + 1)
      call('HSET', blobs, hash, table.concat({blob.size, text(blob.refs), blob.since, version}, '\31'))
      if blob.bytes then call('SET', blob.key, blob.bytes) end
      if not before then call('ZADD', blob_order, 0, hash .. '\0\64') end
      if not before or before.since ~= blob.since then
        if before then call('ZREM', blob_free, free_place(before.since, hash)) end
        call('ZADD', blob_free, 0, free_place(blob.since, hash))
      end
    end
  elseif before then
    call('HDEL', blobs, hash)
    call('ZREM', blob_order, hash .. '\0\64')
    call('ZREM', blob_free, free_place(before.since, hash))
    call('UNLINK', blob.key)
  end
end
for i = 1, 4 do
  if raised[i] then call('HSET', meta, FLOORS[i], text(floors[i])) end
end
if name and name ~= name_before then call('HSET', meta, 'record', name)
elseif name_before and not name then call('HDEL', meta, 'record') end

local done = now
if #out > 0 then done = done .. ' ' .. table.concat(out, ' ') end
remember(done)
-- A hint that cannot be given is no reason to leave a commit half done.
if #topics > 64 then redis.pcall('PUBLISH', channel, '')
else
  for _, topic in ipairs(topics) do redis.pcall('PUBLISH', channel, namespace .. '\31' .. topic) end
end
return answer('ok 0 ' .. done)
