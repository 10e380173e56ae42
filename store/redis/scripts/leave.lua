-- KEYS: live, online. ARGV: settings, the user's name, the id of a session that has
-- become another user's.
local packed = redis.call('HGET', KEYS[1], 'S' .. ARGV[3])
if packed then
  redis.call('HDEL', KEYS[1], 'S' .. ARGV[3])
  redis.call('ZREM', KEYS[2], ARGV[3] .. decode(packed).nas .. ARGV[2])
end
return 0
