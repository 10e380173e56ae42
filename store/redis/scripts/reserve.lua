-- KEYS: live, usage. ARGV: settings, the request, quotas (empty: none).
-- Returns what came of it (0: no place, 1: reserved, 2: a quota is used up), the
-- nonce, and the usage by period; that is empty if it was not asked for or is not
-- known here, and no quota was compared then.
local limit, ttl, force, nonce, device, named, nas, station, nasid = struct.unpack('>I4I8Bc12c8c8c16c8c16', ARGV[2])

local used = ''
if ARGV[3] ~= '' then
  local all = redis.call('HGETALL', KEYS[2])
  local fields = {}
  for i = 1, #all, 2 do fields[all[i]] = all[i + 1] end
  if fields['h'] then
    local usedUp, at = false, 1
    while at <= #ARGV[3] do
      local limits, start, seconds, octets
      limits, start, seconds, octets, at = struct.unpack('>BI8I8I8', ARGV[3], at)
      local s, i, o = 0, 0, 0
      if start == 0 then
        s, i, o = readUsage(fields['e'])
      else
        for field, value in pairs(fields) do
          if string.sub(field, 1, 1) == 'd' and tonumber(string.sub(field, 2)) >= start then
            local ds, di, dout = readUsage(value)
            s, i, o = s + ds, i + di, o + dout
          end
        end
      end
      used = used .. struct.pack(USAGE, s, i, o)
      usedUp = usedUp or limits % 2 == 1 and s >= seconds or limits >= 2 and i + o >= octets
    end
    if usedUp then return {2, '', used} end
  end
end

local sessions, places = loadLive(KEYS[1])

-- The session that is authenticated again; one that only fell silent is running.
local running
if named ~= NONE8 then
  for _, s in pairs(sessions) do
    if s.named == named and (s.nasid == nasid or s.nasid == NONE16 or nasid == NONE16) and
      (not running or s.started > running.started) then
      running = s
    end
  end
end
if running then
  nonce = running.ours and running.nonce or string.rep('\0', 12)
end
if limit == 0 and force == 0 then return {1, nonce, used} end

local taken = 0
for _, s in pairs(sessions) do
  if isOpen(s) then taken = taken + 1 end
end
local runs = running and isOpen(running)
if runs or device ~= NONE8 and hasDevice(sessions, device) then taken = taken - 1 end
local replaced = {}
local kept = nonce
for other, p in pairs(places) do
  if named ~= NONE8 and p.named == named then
    kept = other -- the session that has not begun yet asks again
    replaced[#replaced + 1] = 'R' .. other
  elseif other == nonce or device ~= NONE8 and p.device == device then
    replaced[#replaced + 1] = 'R' .. other
  elseif p.device ~= NONE8 and hasDevice(sessions, p.device) then
    -- Its place is the one of the session that it replaces.
  else
    taken = taken + 1
  end
end
if taken >= limit and force == 0 then return {0, '', used} end
if runs then return {1, nonce, used} end
if #replaced > 0 then redis.call('HDEL', KEYS[1], unpack(replaced)) end
redis.call('HSET', KEYS[1], 'R' .. kept, struct.pack(PLACE, now + ttl, device, named, nas, station))
if redis.call('TTL', KEYS[1]) < math.ceil(ttl / 1000) then
  redis.call('EXPIRE', KEYS[1], math.ceil((ttl + inferredRetention) / 1000))
end
return {1, kept, used}
