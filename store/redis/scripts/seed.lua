-- KEYS: live, closed, usage. ARGV: settings; from when on the sessions are complete
-- (ms); what the user has used ever; by day; and the counters of the user's sessions
-- that are contained therein.
local live, closed, usage = KEYS[1], KEYS[2], KEYS[3]
local since = tonumber(ARGV[2])
redis.call('DEL', usage)
redis.call('HSET', usage, 'h', ARGV[2], 'e', ARGV[3])
local at = 1
while at <= #ARGV[4] do
  local day
  day, at = struct.unpack('>I8', ARGV[4], at)
  redis.call('HSET', usage, string.format('d%.0f', day), string.sub(ARGV[4], at, at + 23))
  at = at + 24
end
local counted = {}
at = 1
while at <= #ARGV[5] do
  local id, c = nil, {}
  id, c.updated, c.seconds, c.input, c.output, at = struct.unpack('>c16I8I8I8I8', ARGV[5], at)
  counted[id] = c
end

local function settle(key, field, id, s)
  local c = counted[id]
  counted[id] = nil
  if not c then
    -- The store has not heard of it yet, or it is too old for the list.
    if s.started >= since * 1000 then addUsage(usage, s, {seconds = 0, input = 0, output = 0}, s.started) end
    return
  end
  addUsage(usage, s, c, c.updated)
  if c.seconds > s.seconds or c.input > s.input or c.output > s.output then
    s.seconds, s.input, s.output = math.max(s.seconds, c.seconds), math.max(s.input, c.input), math.max(s.output, c.output)
    redis.call('HSET', key, field, encode(s, s.details))
  end
end

local all = redis.call('HGETALL', live)
for i = 1, #all, 2 do
  if string.sub(all[i], 1, 1) == 'S' then settle(live, all[i], string.sub(all[i], 2), decode(all[i + 1])) end
end
all = redis.call('HGETALL', closed)
for i = 1, #all, 2 do settle(closed, all[i], all[i], decode(all[i + 1])) end

-- Those that nobody has told of here: noted with what was counted, neither open nor
-- ended.
local noted = false
for id, c in pairs(counted) do
  noted = true
  redis.call('HSET', closed, id, encode({stop = OPEN, startInferred = true, started = c.updated, updated = c.updated, stopped = 0,
    seconds = c.seconds, input = c.input, output = c.output, seen = now, interval = 0, device = NONE8, named = NONE8,
    bundle = NONE8, station = NONE8, nonce = string.rep('\0', 12), nas = NONE16, nasid = NONE16, cause = ''}, ''))
end
if noted then redis.call('EXPIRE', closed, math.ceil(inferredRetention / 1000)) end
redis.call('EXPIRE', usage, USAGE_TTL)
return 0
