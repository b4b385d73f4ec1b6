-- Counts one request in every window, or in none. Milliseconds, but for the log itself, which the limits library
-- keeps in seconds. One clock for all: that of the server.
-- KEYS: for each window its log, newest first. ARGV: for each window its amount and its length.
-- Answers: 1 or 0, then for each window how it stood before: count, time until the oldest leaves.

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

for i, key in ipairs(KEYS) do
    local amount, seconds = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i]) / 1000
    local place = oldest(key, amount, now - seconds)
    local leaves_in = 0
    if place >= 0 then
        leaves_in = math.ceil((tonumber(redis.call('LINDEX', key, place)) + seconds - now) * 1000)
    end
    if place + 1 >= amount then
        answer[1] = 0
    end
    answer[#answer + 1] = place + 1
    answer[#answer + 1] = leaves_in
end

if answer[1] == 1 then
    for i, key in ipairs(KEYS) do
        redis.call('LPUSH', key, string.format('%.6f', now))
        redis.call('LTRIM', key, 0, tonumber(ARGV[2 * i - 1]) - 1)
        redis.call('PEXPIRE', key, ARGV[2 * i])
    end
end

return answer
