-- Counts one request in every window, or in none. Milliseconds.
-- KEYS: for each window the previous and the current counter, as the limits library names and keeps them.
-- ARGV: for each window its amount and its length. Answers: 1 or 0, then for each window how it stood before:
-- previous count, time left, current count, time left.

local answer = {1}

for i = 1, #KEYS, 2 do
    local previous, current = KEYS[i], KEYS[i + 1]
    local amount, length = tonumber(ARGV[i]), tonumber(ARGV[i + 1])

    local current_left = redis.call('PTTL', current)
    if current_left > 0 and current_left < length then
        redis.call('RENAME', current, previous)
        current_left = current_left + length
        redis.call('SET', current, 0, 'PX', current_left)
    end

    local previous_count = tonumber(redis.call('GET', previous) or 0)
    local previous_left = math.max(redis.call('PTTL', previous), 0)
    local current_count = tonumber(redis.call('GET', current) or 0)

    if math.floor(previous_count * previous_left / length) + current_count >= amount then
        answer[1] = 0
    end
    for _, number in ipairs({previous_count, previous_left, current_count, math.max(current_left, 0)}) do
        answer[#answer + 1] = number
    end
end

if answer[1] == 1 then
    for i = 1, #KEYS, 2 do
        if redis.call('INCR', KEYS[i + 1]) == 1 and redis.call('PTTL', KEYS[i + 1]) < 0 then
            redis.call('PEXPIRE', KEYS[i + 1], 2 * tonumber(ARGV[i + 1]))
        end
    end
end

return answer
