-- Counts one request in every window, or in none. Milliseconds, but for the log itself, which is kept in seconds.
-- One clock for all: that of the server.
-- KEYS: for each window its log, newest first; then keys to read.
-- ARGV: 1 to count, 0 to look only; then for each window its amount, negative where it only counts, and its length.
-- Answers: 1 or 0; for each window how it stood before: count, time until the oldest leaves; then the values read.

local windows = (#ARGV - 1) / 2
local answer = {1}
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000

-- The place, from 0, of the oldest entry that still counts, or -1: the log is in order, so halve it.
local function oldest(key, amount, since)
    local low, high, found = 0, amount - 1, -1
    while low <= high do
        local middle = math.floor((low + high) / 2)
        local entry = tonumber(redis.call('LINDEX', key, middle))
        if entry and entry >= since then
            found, low = middle, middle + 1
        else
            high = middle - 1
        end
    end
    return found
end

for i = 1, windows do
    local key, amount, seconds = KEYS[i], tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1]) / 1000
    local place = oldest(key, math.abs(amount), now - seconds)
    local leaves_in = 0
    if place >= 0 then
        leaves_in = math.ceil((tonumber(redis.call('LINDEX', key, place)) + seconds - now) * 1000)
    end
    if amount > 0 and place + 1 >= amount then
        answer[1] = 0
    end
    answer[#answer + 1] = place + 1
    answer[#answer + 1] = leaves_in
end

if answer[1] == 1 and ARGV[1] == '1' then
    for i = 1, windows do
        redis.call('LPUSH', KEYS[i], string.format('%.6f', now))
        redis.call('LTRIM', KEYS[i], 0, math.abs(tonumber(ARGV[2 * i])) - 1)
        redis.call('PEXPIRE', KEYS[i], ARGV[2 * i + 1])
    end
end

for i = windows + 1, #KEYS do
    answer[#answer + 1] = redis.call('GET', KEYS[i])
end

return answer
