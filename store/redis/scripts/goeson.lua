-- publish. KEYS: live, closed, usage, online. ARGV: settings, the user's name, id and
-- state of a session. Returns what the node is to know: E, id and state of a session
-- that has ended by this; C, id and state of one that had ended, although the node
-- thinks it open; U if the user's usage must be read from the store.
--
-- This beginning takes in what nearly all news is, that an open session goes on and
-- that nobody here counts its usage, without the functions of the rest: to make them
-- costs more than to do this. The offsets are those of STATE.
do
  local now, liveness, minLiveness, silentLiveness, _, inferredRetention = struct.unpack('>I8I8I8I8I8I8', ARGV[1])
  if now == 0 then
    local t = redis.call('TIME')
    now = t[1] * 1000 + math.floor(t[2] / 1000)
  end
  local id, new = ARGV[3], ARGV[4]
  local old = redis.call('HGET', KEYS[1], 'S' .. id)
  -- Neither has ended, and what tells the session from others is the same.
  if old and string.byte(new) == 0 and string.byte(new, 2) < 4 and string.sub(new, 1, 10) == string.sub(old, 1, 10) and
    string.sub(new, 63, 139) == string.sub(old, 63, 139) then
    local updated, _, seconds, input, output, silent, interval = struct.unpack('>I8I8I8I8I8I8I4', new, 11)
    local oldUpdated, _, oldSeconds, oldInput, oldOutput, oldSeen, oldInterval = struct.unpack('>I8I8I8I8I8I8I4', old, 11)
    local seen = now - silent
    local lapses, oldLapses = liveness, liveness
    if liveness == 0 then
      lapses = interval > 0 and math.max(3000 * interval, minLiveness) or silentLiveness
      oldLapses = oldInterval > 0 and math.max(3000 * oldInterval, minLiveness) or silentLiveness
    end
    if updated >= oldUpdated and seconds >= oldSeconds and input >= oldInput and output >= oldOutput and seen >= oldSeen and
      interval >= oldInterval and oldSeen + oldLapses > now and redis.call('HEXISTS', KEYS[3], 'h') == 0 then
      redis.call('HSET', KEYS[1], 'S' .. id, string.sub(new, 1, 50) .. struct.pack('>I8', seen) .. string.sub(new, 59))
      redis.call('ZADD', KEYS[4], string.format('%.0f', seen + lapses), id .. string.sub(new, 107, 122) .. ARGV[2])
      if math.floor(seen / 3600000) ~= math.floor(oldSeen / 3600000) then
        redis.call('EXPIRE', KEYS[1], math.ceil((math.max(lapses, silentLiveness) + inferredRetention) / 1000))
      end
      return 0
    end
  end
end
