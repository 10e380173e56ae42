-- How counters become usage; for the scripts that write it.

local calendar
local function days()
  if not calendar then
    calendar = {}
    for at = calendarAt, #ARGV[1], 4 do
      calendar[#calendar + 1] = struct.unpack('>I4', ARGV[1], at) * 1000000
    end
  end
  return calendar
end

local function addTo(key, field, part)
  if part[1] + part[2] + part[3] == 0 then return end
  local old = redis.call('HGET', key, field)
  local s, i, o = readUsage(old)
  redis.call('HSET', key, field, struct.pack(USAGE, s + part[1], i + part[2], o + part[3]))
  if not old and field ~= 'e' then -- a new day: those that no period reaches any more go
    local first = days()[1] / 1000000
    for _, name in ipairs(redis.call('HKEYS', key)) do
      if string.sub(name, 1, 1) == 'd' and tonumber(string.sub(name, 2)) < first then redis.call('HDEL', key, name) end
    end
  end
end

-- addUsage puts what the counters of s say beyond those before on the user's
-- account. The step is spread evenly over the time it took, and so split where a
-- day begins; it is aaa/usage.go in another language.
local function addUsage(key, s, before, from)
  local left = {s.seconds - before.seconds, s.input - before.input, s.output - before.output}
  for i = 1, 3 do
    if left[i] < 0 or i > 1 and left[i] > IMPLAUSIBLE then left[i] = 0 end
  end
  if left[1] + left[2] + left[3] == 0 then return end
  addTo(key, 'e', left)
  local to = s.updated
  if to > (now + HOUR) * 1000 or to < (now - WEEK) * 1000 then -- a clock that is off
    from, to = from + now * 1000 - to, now * 1000
  end
  local cal = days()
  local last = #cal
  while last > 0 and cal[last] > to do last = last - 1 end
  if last == 0 then return end
  local span = to - from
  if from < cal[last] and span > 0 and span <= LONGEST_SPLIT then
    local day = last
    while day > 0 and cal[day] > from do day = day - 1 end
    local total = {left[1], left[2], left[3]}
    while day < last do
      local part = {}
      for i = 1, 3 do
        part[i] = math.min(left[i], math.floor(total[i] * ((cal[day + 1] - from) / span)))
        left[i] = left[i] - part[i]
      end
      if day > 0 then addTo(key, string.format('d%.0f', cal[day] / 1000000), part) end
      from, day = cal[day + 1], day + 1
    end
  end
  addTo(key, string.format('d%.0f', cal[last] / 1000000), left)
end
