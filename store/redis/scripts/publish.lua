-- The rest of publish, for all that is not as simple.
local live, closed, usage, online = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local username = ARGV[2]
local news = {}

local function member(id, s) return id .. s.nas .. username end

local function either(late, early, none)
  if late ~= none then return late end
  return early
end

-- An inferred stop stands while no record is later (Session.Settle).
local function stands(s, stopped) return stopped >= s.updated and stopped > s.started end

-- merge takes the news n of a session into what is known, o.
local function merge(o, n)
  local s, late, early = {}, n, o
  if o.updated > n.updated then late, early = o, n end
  if o.startInferred == n.startInferred then
    s.started, s.startInferred = math.min(o.started, n.started), o.startInferred
  else
    s.started, s.startInferred = o.startInferred and n.started or o.started, false
  end
  for _, counter in ipairs({'seconds', 'input', 'output', 'seen', 'interval'}) do
    s[counter] = math.max(o[counter], n[counter])
  end
  s.device = either(late.device, early.device, NONE8)
  s.named = either(late.named, early.named, NONE8)
  s.bundle = either(late.bundle, early.bundle, NONE8)
  s.station = either(late.station, early.station, NONE8)
  s.nas = either(late.nas, early.nas, NONE16)
  s.nasid = either(late.nasid, early.nasid, NONE16)
  s.details = either(late.details, early.details, '')
  local named = late.ours and late or early
  s.ours, s.nonce = named.ours, named.nonce
  s.updated, s.stop, s.stopped, s.cause = late.updated, OPEN, 0, ''
  local function take(x) s.stop, s.stopped, s.cause = x.stop, x.stopped, x.cause end
  if o.stop == STOPPED or n.stop == STOPPED then
    for _, x in ipairs({o, n}) do -- the latest Stop decides, and of two the greater cause
      if x.stop == STOPPED and (s.stop ~= STOPPED or x.stopped > s.stopped or x.stopped == s.stopped and x.cause > s.cause) then take(x) end
    end
    s.updated = s.stopped
    return s
  end
  for _, x in ipairs({o, n}) do -- the earliest that no record disproves
    if x.stop == INFERRED and stands(s, x.stopped) and (s.stop == OPEN or x.stopped < s.stopped) then take(x) end
  end
  return s
end

-- prune forgets what closed has held for long enough. It is looked at now and then.
local function prune()
  local size = redis.call('HLEN', closed)
  if size % 32 ~= 0 then return end
  local all = redis.call('HGETALL', closed)
  for i = 1, #all, 2 do
    local s = decode(all[i + 1])
    local kept = s.stop == STOPPED and closedRetention or inferredRetention
    if s.seen + kept <= now then
      redis.call('HDEL', closed, all[i])
      size = size - 1
    end
  end
  if size >= 2048 then -- of a user who comes and goes all the time
    redis.call('DEL', closed)
    if redis.call('HEXISTS', usage, 'h') == 1 then redis.call('HSET', usage, 'h', string.format('%.0f', now)) end
  end
end

local function expire(key, ms) redis.call('EXPIRE', key, math.ceil(ms / 1000)) end

-- save puts a session where it belongs. old is as it was, nil if nobody knew it.
local function save(id, s, old, wasLive)
  if old and wasLive and (s.stop ~= OPEN or old.nas ~= s.nas) then redis.call('ZREM', online, member(id, old)) end
  if s.stop ~= OPEN then
    if wasLive then redis.call('HDEL', live, 'S' .. id) end
    redis.call('HSET', closed, id, encode(s, ''))
    if not old or wasLive then prune() end
    if s.stop == INFERRED then
      expire(closed, inferredRetention)
    elseif redis.call('PTTL', closed) < closedRetention then
      expire(closed, closedRetention)
    end
    return
  end
  if old and not wasLive then redis.call('HDEL', closed, id) end
  redis.call('HSET', live, 'S' .. id, encode(s, s.details))
  expire(live, math.max(deadline(s) - now, silentLiveness) + inferredRetention)
  if isOpen(s) then redis.call('ZADD', online, string.format('%.0f', deadline(s)), member(id, s)) end
end

-- Session.Supersedes: the same device has begun a later session on its port.
local function supersedes(s, old)
  return not s.startInferred and s.device ~= NONE8 and s.device == old.device and s.nasid == old.nasid and
    s.started > old.started and s.started >= old.updated and (s.bundle == NONE8 or s.bundle ~= old.bundle)
end

local function infer(s, at)
  if s.stop == OPEN or at < s.stopped then s.stop, s.stopped, s.cause = INFERRED, at, 'Port-Preempted' end
end

local function supersededBy(s, other)
  if s.stop ~= STOPPED and supersedes(other, s) and stands(s, other.started) then infer(s, other.started) end
end

-- takePlace gives up the place that was reserved for the session: that of its
-- nonce or, when the NAS returns no Class and this is the first that is heard of the
-- session, the oldest of the same NAS and station.
local function takePlace(s, places)
  if s.ours then
    redis.call('HDEL', live, 'R' .. s.nonce)
    places[s.nonce] = nil
    return
  end
  local oldest
  for nonce, p in pairs(places) do
    if p.nas == s.nas and (p.station == NONE8 or s.station == NONE8 or p.station == s.station) and
      (not oldest or p.lapses < places[oldest].lapses) then
      oldest = nonce
    end
  end
  if oldest then redis.call('HDEL', live, 'R' .. oldest) end
end

local NOTHING = {seconds = 0, input = 0, output = 0}
local horizon

local function count(s, old)
  if old and s.seconds == old.seconds and s.input == old.input and s.output == old.output then return end
  if horizon == nil then horizon = redis.call('HGET', usage, 'h') end
  if not horizon then return end
  if not old and s.started < math.max(tonumber(horizon), now - closedRetention) * 1000 then
    -- It may have been counted and forgotten: the store knows.
    if s.seconds + s.input + s.output > 0 then news[#news + 1] = 'U' end
    return
  end
  addUsage(usage, s, old or NOTHING, old and old.updated or s.started)
  redis.call('EXPIRE', usage, USAGE_TTL)
end

local function publish(id, new, wasLive, packed)
  local s = decode(new)
  if s.lapsed then s.seen = now - timeout(s) else s.seen = now - s.seen end
  local old, told = nil, s.stop
  if packed then
    old = decode(packed)
    s = merge(old, s)
  end
  local begins = not old or old.started ~= s.started or old.startInferred ~= s.startInferred or old.stop == INFERRED
  if begins and (s.device ~= NONE8 or not s.ours) then
    local sessions, places = loadLive(live)
    if not old or s.ours then takePlace(s, places) end
    for otherID, other in pairs(sessions) do
      if otherID ~= id then
        supersededBy(s, other)
        if supersedes(s, other) then
          infer(other, s.started)
          local was = decode(encode(other, ''))
          save(otherID, other, was, true)
          news[#news + 1] = 'E' .. otherID .. encode(other, '')
        end
      end
    end
    -- One that came late may have been superseded by one that has ended since.
    if s.stop ~= STOPPED and s.device ~= NONE8 and redis.call('HLEN', closed) <= 100 then
      local ended = redis.call('HGETALL', closed)
      for i = 1, #ended, 2 do
        if ended[i] ~= id then supersededBy(s, decode(ended[i + 1])) end
      end
    end
  elseif s.ours and (begins or s.stop ~= OPEN or not isOpen(old)) then
    redis.call('HDEL', live, 'R' .. s.nonce)
  end
  save(id, s, old, wasLive)
  count(s, old)
  if s.stop ~= OPEN then
    if not old or old.stop == OPEN or old.stop ~= s.stop then
      news[#news + 1] = 'E' .. id .. encode(s, '')
    elseif told == OPEN then
      news[#news + 1] = 'C' .. id .. encode(s, '')
    end
  end
end

local packed = redis.call('HGET', live, 'S' .. ARGV[3])
if packed then
  publish(ARGV[3], ARGV[4], true, packed)
else
  publish(ARGV[3], ARGV[4], false, redis.call('HGET', closed, ARGV[3]))
end
return news
