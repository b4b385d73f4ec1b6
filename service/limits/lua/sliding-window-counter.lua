-- Counts one request in every window, or in none. Milliseconds.
-- KEYS: for each window its previous and its current counter; then keys to read.
-- ARGV: 1 to count, 0 to look only; then for each window its amount, negative where it only counts, and its length.
-- Answers: 1 or 0; for each window how it stood before: previous count, time left, current count, time left;
-- then the values read.

local windows = (#ARGV - 1) / 2
local answer = {1}

for i = 1, windows do
    local previous, current = KEYS[2 * i - 1], KEYS[2 * i]
    local amount, length = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])

    -- In its very last millisecond a counter is still there, with no time left: it is a previous one even then.
    local current_left = redis.call('PTTL', current)
    if current_left >= 0 and current_left < length then
        redis.call('RENAME', current, previous)
        current_left = current_left + length
        redis.call('SET', current, 0, 'PX', current_left)
    end

    local previous_count = tonumber(redis.call('GET', previous) or 0)
    local previous_left = math.max(redis.call('PTTL', previous), 0)
    local current_count = tonumber(redis.call('GET', current) or 0)

    local used = math.floor(previous_count * previous_left / length) + current_count
    if amount > 0 and used >= amount then
        answer[1] = 0
    end
    for _, number in ipairs({previous_count, previous_left, current_count, math.max(current_left, 0)}) do
        answer[#answer + 1] = number
    end
end

if answer[1] == 1 and ARGV[1] == '1' then
    for i = 1, windows do
        local current = KEYS[2 * i]
        if redis.call('INCR', current) == 1 and redis.call('PTTL', current) < 0 then
            redis.call('PEXPIRE', current, 2 * tonumber(ARGV[2 * i + 1]))
        end
    end
end

for i = 2 * windows + 1, #KEYS do
    answer[#answer + 1] = redis.call('GET', KEYS[i])
end

return answer
