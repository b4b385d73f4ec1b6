-- Counts one request in every window, or in none. Milliseconds.
-- KEYS: for each window its counter; then keys to read.
-- ARGV: 1 to count, 0 to look only; then for each window its amount, negative where it only counts, and its length.
-- Answers: 1 or 0; for each window how it stood before: count, time left; then the values read.

local windows = (#ARGV - 1) / 2
local answer = {1}

for i = 1, windows do
    local count = tonumber(redis.call('GET', KEYS[i]) or 0)
    local amount = tonumber(ARGV[2 * i])
    if amount > 0 and count >= amount then
        answer[1] = 0
    end
    answer[#answer + 1] = count
    answer[#answer + 1] = math.max(redis.call('PTTL', KEYS[i]), 0)
end

if answer[1] == 1 and ARGV[1] == '1' then
    for i = 1, windows do
        if redis.call('INCR', KEYS[i]) == 1 then
            redis.call('PEXPIRE', KEYS[i], ARGV[2 * i + 1])
        end
    end
end

for i = windows + 1, #KEYS do
    answer[#answer + 1] = redis.call('GET', KEYS[i])
end

return answer
