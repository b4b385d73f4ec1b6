-- Counts one request in every window, or in none. Milliseconds.
-- KEYS: for each window its counter, as the limits library names and keeps it. ARGV: for each window its amount
-- and its length. Answers: 1 or 0, then for each window how it stood before: count, time left.

local answer = {1}

for i, key in ipairs(KEYS) do
    local count = tonumber(redis.call('GET', key) or 0)
    if count >= tonumber(ARGV[2 * i - 1]) then
        answer[1] = 0
    end
    answer[#answer + 1] = count
    answer[#answer + 1] = math.max(redis.call('PTTL', key), 0)
end

if answer[1] == 1 then
    for i, key in ipairs(KEYS) do
        if redis.call('INCR', key) == 1 then
            redis.call('PEXPIRE', key, ARGV[2 * i])
        end
    end
end

return answer
