-- Every step of the call registry, each atomic. Milliseconds throughout; the clock is the server's.
-- KEYS[1]: the prefix of all keys, with the hash tag that keeps them on one node of a cluster.
-- ARGV: the operation, the time (empty but in tests), its arguments as JSON. Answers JSON.
-- Put before this text, from Python: MOVES (event -> state -> next state, false where the call is forgotten), and
-- UNKNOWN, CONNECTING, ENDED_KEPT, ENDING_RETRY, LEAST_CHARGE (milliseconds) and LEAST (seconds).
--
-- call:ID        hash: the call
-- active         sorted set by sequence: opening, open and ending calls; its size is what CALLS_GLOBAL bounds
-- user:USER      sorted set by sequence: the user's; negative for ending calls, which hold no slot of their user
-- due            sorted set by time: when the keeper must look at each active call next
-- check          sorted set by time: when each open call is next asked whether it still runs
-- minutes:…      hash: a window's id (the sequence of the call it began with), end and used time
--
-- A call's `windows` names those it was reserved in: scope, length and id, as u86400=7. Each value of its hash has at
-- most 64 bytes, so that Redis keeps it in its compact form.

local prefix, given = KEYS[1], cjson.decode(ARGV[3])
local now = tonumber(ARGV[2])
if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Longer than any call may take: the vendor's maximum of two hours, and what opening and ending add.
local ACTIVE_KEPT = 4 * 3600000
local ACTIVE, DUE, CHECK, SEQUENCE = prefix .. ':active', prefix .. ':due', prefix .. ':check', prefix .. ':sequence'
local NUMBERS = {
    sequence = true, opened_ms = true, reserved_ms = true, attempts = true, ended_ms = true, elapsed_ms = true,
    charged_ms = true,
}

local function call_key(id) return prefix .. ':call:' .. id end
local function user_key(user) return prefix .. ':user:' .. user end
local function window_key(owner, length) return prefix .. ':minutes:' .. owner .. ':' .. length end

local function load(id)
    local flat = redis.call('HGETALL', call_key(id))
    if #flat == 0 then return nil end
    local call = {id = id}
    for i = 1, #flat, 2 do
        call[flat[i]] = NUMBERS[flat[i]] and tonumber(flat[i + 1]) or flat[i + 1]
    end
    if call.ended_ms and call.ended_ms + ENDED_KEPT <= now then return nil end
    return call
end

local function save(call, changes)
    local flat = {}
    for field, value in pairs(changes) do
        call[field] = value
        flat[#flat + 1], flat[#flat + 2] = field, value
    end
    redis.call('HSET', call_key(call.id), unpack(flat))
end

local function forget(id)
    redis.call('ZREM', ACTIVE, id)
    redis.call('ZREM', DUE, id)
    redis.call('ZREM', CHECK, id)
end

-- Charge once, and give the rest back to the windows it was taken from, where they still last.
local function settle(call, charged)
    if call.charged_ms then return end
    for scope, length, id in string.gmatch(call.windows, '(%a)(%d+)=(%d+)') do
        local key = window_key(scope == 'u' and call.user or 'all', length)
        if redis.call('HGET', key, 'id') == id then
            redis.call('HINCRBY', key, 'used', charged - call.reserved_ms)
        end
    end
    save(call, {charged_ms = charged})
end

local function start_ending(call, cause)
    local state = MOVES['end'][call.state]
    if not state then return false end
    -- While it is being opened there is nothing to end yet: recording its id makes it due.
    if call.state == 'open' then redis.call('ZADD', DUE, now, call.id) end
    redis.call('ZREM', CHECK, call.id)
    redis.call('ZADD', user_key(call.user), -call.sequence, call.id)
    save(call, {state = state, ended_by = cause})
    return true
end

local function lose(call)
    if not MOVES.lose[call.state] or call.upstream_id or call.charged_ms then return false end
    settle(call, math.min(LEAST_CHARGE, call.reserved_ms))
    redis.call('ZADD', user_key(call.user), -call.sequence, call.id)
    redis.call('ZADD', DUE, now + UNKNOWN, call.id)
    save(call, {state = MOVES.lose[call.state], ended_by = 'unknown'})
    return true
end

local function finish(call, cause, told, confirmation, ago)
    local state = MOVES.confirm[call.state]
    if not state then return false end
    local ended = math.max(call.opened_ms, now - (ago or 0))
    local elapsed = call.upstream_id and ended - call.opened_ms or 0
    settle(call, math.min(call.reserved_ms, math.max(LEAST_CHARGE, told or elapsed)))
    save(call, {
        state = state, ended_ms = ended, elapsed_ms = elapsed, ended_by = call.ended_by or cause,
        confirmation = confirmation,
    })
    forget(call.id)
    redis.call('ZREM', user_key(call.user), call.id)
    redis.call('PEXPIRE', call_key(call.id), ENDED_KEPT)
    return true
end

-- The windows as they stand; each is given as its scope (u for the user's, a for that of all), length and amount in
-- seconds. The id is 0 for one that has not begun.
local function look_at_windows(user, windows)
    local found = {}
    for i, window in ipairs(windows) do
        local scope, length, amount = unpack(window)
        local key = window_key(scope == 'u' and user or 'all', length)
        local stored = redis.call('HMGET', key, 'id', 'ends', 'used')
        local id, ends, used = tonumber(stored[1]), tonumber(stored[2]), tonumber(stored[3])
        if not id or ends <= now then id, ends, used = 0, now + 1000 * length, 0 end
        found[i] = {
            key = key, scope = scope, length = length, id = id, ends = ends, used = used,
            left = math.max(0, 1000 * amount - used),
        }
    end
    return found
end

-- What is answered of them: for each what is left, and when it ends.
local function status(windows)
    local found = {}
    for i, window in ipairs(windows) do found[i] = {window.left, window.ends} end
    return found
end

local function first_deadline(ids)
    local first
    for _, id in ipairs(ids) do
        local times = redis.call('HMGET', call_key(id), 'opened_ms', 'reserved_ms')
        local deadline = times[1] and times[1] + times[2]
        if deadline and (not first or deadline < first) then first = deadline end
    end
    return first or now
end

-- A user's calls between two scores. Where there are as many as may be, those are left out that the storage has lost,
-- or that lack a field.
local function known_calls(user, low, high, most, field)
    local ids, known = redis.call('ZRANGEBYSCORE', user_key(user), low, high), {}
    if #ids < most then return ids end
    for _, id in ipairs(ids) do
        if redis.call('HEXISTS', call_key(id), field) == 1 then
            known[#known + 1] = id
        elseif redis.call('EXISTS', call_key(id)) == 0 then
            redis.call('ZREM', user_key(user), id)
        end
    end
    return known
end

local operations = {}

function operations.reserve()
    local windows = look_at_windows(given.user, given.windows)
    if redis.call('ZCARD', ACTIVE) >= given.calls_global then
        local first = redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')
        return {refused = 'calls', limit = 'global', now = now, retry_ms = math.max(0, (first[2] or now) - now), windows = status(windows)}
    end
    -- Not those whose opening has an unknown outcome, or is still under way: they have no id of the vendor's.
    if #known_calls(given.user, '-inf', -1, given.ending, 'upstream_id') >= given.ending then
        return {refused = 'calls', limit = 'ending', now = now, retry_ms = ENDING_RETRY, windows = status(windows)}
    end
    local held = known_calls(given.user, 1, '+inf', given.calls, 'state')
    if #held >= given.calls and not given.replace then
        return {refused = 'calls', limit = 'user', now = now, retry_ms = math.max(0, first_deadline(held) - now), windows = status(windows)}
    end
    local seconds, limit, ends = given.seconds, nil, 0
    for _, window in ipairs(windows) do
        local left = math.floor(window.left / 1000)
        seconds = math.min(seconds, left)
        if left < LEAST and window.ends > ends then
            limit, ends = window.scope == 'u' and 'user' or 'global', window.ends
        end
    end
    if limit then
        return {refused = 'minutes', limit = limit, now = now, retry_ms = ends - now, windows = status(windows)}
    end

    local sequence, reserved, taken = redis.call('INCR', SEQUENCE), 1000 * seconds, {}
    for i, window in ipairs(windows) do
        if window.id == 0 then window.id = sequence end
        window.used, window.left = window.used + reserved, window.left - reserved
        redis.call('HSET', window.key, 'id', window.id, 'ends', window.ends, 'used', window.used)
        redis.call('PEXPIRE', window.key, window.ends - now)
        taken[i] = window.scope .. window.length .. '=' .. window.id
    end
    local replaced = {}
    for i = 1, #held - given.calls + 1 do
        start_ending(load(held[i]), 'replaced')
        replaced[i] = held[i]
    end
    local call = {id = given.id}
    save(call, {
        user = given.user, type = given.type, model = given.model, state = 'opening', sequence = sequence,
        opened_ms = now, reserved_ms = reserved, attempts = 0, windows = table.concat(taken, ','),
    })
    redis.call('PEXPIRE', call_key(call.id), ACTIVE_KEPT)
    redis.call('ZADD', ACTIVE, sequence, call.id)
    redis.call('ZADD', user_key(call.user), sequence, call.id)
    redis.call('ZADD', DUE, now + given.opening, call.id)
    for _, key in ipairs({ACTIVE, DUE, SEQUENCE, user_key(call.user)}) do
        redis.call('PEXPIRE', key, ACTIVE_KEPT)
    end
    local value = given.read and redis.call('GET', given.read) or nil
    return {now = now, call = call, replaced = replaced, windows = status(windows), value = value}
end

function operations.record()
    local call = load(given.id)
    local state = call and MOVES.record[call.state]
    if not state or call.upstream_id then return {call = call} end
    if state == 'open' and given.check then
        redis.call('ZADD', CHECK, now + CONNECTING, call.id)
        redis.call('PEXPIRE', CHECK, ACTIVE_KEPT)
    end
    redis.call('ZADD', DUE, state == 'open' and now + call.reserved_ms or now, call.id)
    save(call, {state = state, opened_ms = now, upstream_id = given.upstream_id})
    return {call = call}
end

function operations.refuse()
    local call = load(given.id)
    if not call or MOVES.refuse[call.state] == nil or call.upstream_id then return {} end
    settle(call, 0)
    forget(call.id)
    redis.call('ZREM', user_key(call.user), call.id)
    redis.call('DEL', call_key(call.id))
    return {}
end

function operations.lose()
    local call = load(given.id)
    if call then lose(call) end
    return {}
end

operations['end'] = function()
    local call = load(given.id)
    if not call or (given.user and given.user ~= call.user) then return {} end
    local changed = start_ending(call, given.cause)
    return {call = call, changed = changed}
end

function operations.end_user()
    local calls = {}
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', user_key(given.user), 1, '+inf')) do
        local call = load(id)
        if call and start_ending(call, given.cause) then calls[#calls + 1] = call end
    end
    return {calls = calls}
end

local function claim(id, due, found)
    local call = load(id)
    if not call then
        forget(id)
    elseif lose(call) then
        found.lost[#found.lost + 1] = call
    elseif not call.upstream_id then
        finish(call, 'unknown')
        found.ended[#found.ended + 1] = call
    else
        start_ending(call, 'deadline')
        save(call, {attempts = call.attempts + 1})
        redis.call('ZADD', DUE, now + given.lease, id)
        found.claims[#found.claims + 1] = {call, math.max(0, now - due)}
    end
end

-- Whether a call is where the keeper and its user look for it. A Redis that evicts keys may have dropped one of these.
local function is_indexed(id, user)
    for _, key in ipairs({ACTIVE, DUE, user_key(user)}) do
        if not redis.call('ZSCORE', key, id) then return false end
    end
    return true
end

function operations.poll()
    local found = {now = now, claims = {}, lost = {}, ended = {}, checks = {}, own = {}}
    if given.endings > 0 then
        local due = redis.call('ZRANGEBYSCORE', DUE, '-inf', now, 'WITHSCORES', 'LIMIT', 0, given.endings)
        for i = 1, #due, 2 do claim(due[i], tonumber(due[i + 1]), found) end
    end
    if given.checks > 0 then
        for _, id in ipairs(redis.call('ZRANGEBYSCORE', CHECK, '-inf', now, 'LIMIT', 0, given.checks)) do
            local call = load(id)
            if call then
                found.checks[#found.checks + 1] = call
                redis.call('ZADD', CHECK, now + given.check_every, id)
            else
                forget(id)
            end
        end
    end
    for i, id in ipairs(given.own) do
        local state, upstream_id, user = unpack(redis.call('HMGET', call_key(id), 'state', 'upstream_id', 'user'))
        if state and state ~= 'ended' and not is_indexed(id, user) then state = nil end
        found.own[i] = state and not upstream_id and 'opening' or state or ''
    end
    found.next = tonumber(redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')[2])
    return found
end

function operations.postpone()
    local held = {}
    for _, held_claim in ipairs(given.claims) do
        local id, claimed_as, pause = unpack(held_claim)
        local state, attempts = unpack(redis.call('HMGET', call_key(id), 'state', 'attempts'))
        if state == 'ending' and tonumber(attempts) == claimed_as then
            redis.call('ZADD', DUE, now + pause, id)
            held[#held + 1] = id
        end
    end
    return {held = held}
end

function operations.confirm()
    local call = load(given.id)
    if not call then return {} end
    local changed = finish(call, given.cause, given.told, given.confirmation, given.ago)
    -- A confirmation that is repeated, since its answer was lost, is answered as the first time.
    local repeated = given.confirmation ~= nil and call.confirmation == given.confirmation
    return {call = call, changed = changed or repeated}
end

function operations.get()
    return {call = load(given.id)}
end

-- What comes next in a sorted set after a sequence number: pairs of sequence and id, at most a chunk.
local function add_following(found, key, after, sign)
    local command = sign > 0 and 'ZRANGEBYSCORE' or 'ZREVRANGEBYSCORE'
    local ids = redis.call(command, key, '(' .. sign * after, sign > 0 and '+inf' or '-inf', 'WITHSCORES', 'LIMIT', 0, given.chunk)
    for i = 1, #ids, 2 do found[#found + 1] = {sign * tonumber(ids[i + 1]), ids[i]} end
end

-- A chunk of the calls of one user, or of all, after a sequence number, oldest first; and where it ended.
function operations.list()
    local found, wanted, calls = {}, {}, {}
    add_following(found, given.user and user_key(given.user) or ACTIVE, given.after, 1)
    for _, state in ipairs(given.states) do wanted[state] = true end
    if given.user and wanted.ending then add_following(found, user_key(given.user), given.after, -1) end
    table.sort(found, function(one, other) return one[1] < other[1] end)
    local last = given.after
    for i = 1, math.min(#found, given.chunk) do
        local call = load(found[i][2])
        if call and wanted[call.state] then calls[#calls + 1] = call end
        last = found[i][1]
    end
    return {calls = calls, more = #found >= given.chunk, after = last}
end

function operations.minutes()
    return {now = now, windows = status(look_at_windows(given.user, given.windows))}
end

function operations.counts()
    return {active = redis.call('ZCARD', ACTIVE), due = redis.call('ZCOUNT', DUE, '-inf', now)}
end

return cjson.encode(operations[ARGV[1]]())
