-- What all scripts share. Every key of a call lies in one hash slot.
--
-- The hash "live" of a user holds, under S and the session's id, the sessions that
-- have not ended, and under R and a nonce the places that are reserved. A session
-- of which nothing was heard for its liveness time has lapsed: it counts no more,
-- and goes on when it is heard of again. The hash "closed" holds those that ended,
-- for as long as late news of them may come. The hash "usage" holds what the user
-- has used by day (d and the day's start), ever (e), and h, before which a session
-- that nobody knows here may have been counted. Without h the user's usage is not
-- known here.

-- settings: the time, 0 for the server's own; liveness, least liveness, liveness
-- of sessions without interims; how long sessions are remembered that were stopped,
-- and that ended otherwise; all in ms. Then the starts of the days, in s.
local now, liveness, minLiveness, silentLiveness, closedRetention, inferredRetention, calendarAt =
  struct.unpack('>I8I8I8I8I8I8', ARGV[1])
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end

local NONE8 = string.rep('\0', 8)
local NONE16 = string.rep('\0', 16)
local OPEN, INFERRED, STOPPED = 0, 1, 2
local HOUR, WEEK = 3600000, 604800000
local IMPLAUSIBLE = 1125899906842624 -- octets from one record to the next
local LONGEST_SPLIT = 400 * 86400000000 -- in us
local USAGE_TTL = 40 * 86400

-- A session as state.go encodes it. Event times are in us; seen, when it was last
-- heard of, in ms of this clock; interval in s.
local STATE = '>BBI8I8I8I8I8I8I8I4c8c8c8c8c12c16c16Bc0'

local function decode(p)
  local s, at = {}
  s.stop, s.flags, s.started, s.updated, s.stopped, s.seconds, s.input, s.output, s.seen, s.interval,
    s.device, s.named, s.bundle, s.station, s.nonce, s.nas, s.nasid, s.cause, at = struct.unpack(STATE, p)
  s.startInferred = s.flags % 2 == 1
  s.ours = s.flags % 4 >= 2
  s.lapsed = s.flags % 8 >= 4
  s.details = string.sub(p, at)
  return s
end

local function encode(s, details)
  local flags = (s.startInferred and 1 or 0) + (s.ours and 2 or 0)
  return struct.pack(STATE, s.stop, flags, s.started, s.updated, s.stopped, s.seconds, s.input, s.output,
    s.seen, s.interval, s.device, s.named, s.bundle, s.station, s.nonce, s.nas, s.nasid, #s.cause, s.cause) .. details
end

local function timeout(s)
  if liveness > 0 then return liveness end
  if s.interval > 0 then return math.max(3000 * s.interval, minLiveness) end
  return silentLiveness
end

local function deadline(s) return s.seen + timeout(s) end

local function isOpen(s) return s.stop == OPEN and deadline(s) > now end

-- A place that is reserved: when it lapses, device, named, NAS, station.
local PLACE = '>I8c8c8c16c8'

-- everything of the live hash; what is of no use any more is deleted.
local function loadLive(key)
  local all = redis.call('HGETALL', key)
  local sessions, places = {}, {}
  for i = 1, #all, 2 do
    local kind, id = string.sub(all[i], 1, 1), string.sub(all[i], 2)
    if kind == 'S' then
      local s = decode(all[i + 1])
      if deadline(s) + inferredRetention <= now then
        redis.call('HDEL', key, all[i])
      else
        sessions[id] = s
      end
    else
      local p = {}
      p.lapses, p.device, p.named, p.nas, p.station = struct.unpack(PLACE, all[i + 1])
      if p.lapses <= now then
        redis.call('HDEL', key, all[i])
      else
        places[id] = p
      end
    end
  end
  return sessions, places
end

local function hasDevice(sessions, device)
  for _, s in pairs(sessions) do
    if s.device == device and isOpen(s) then return true end
  end
  return false
end

local USAGE = '>I8I8I8'

local function readUsage(p)
  if not p then return 0, 0, 0 end
  local seconds, input, output = struct.unpack(USAGE, p)
  return seconds, input, output
end
