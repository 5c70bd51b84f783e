-- Library: lots, the credits of a wallet that are promotional or expire. They are spent before its other money, in the
-- order in which they stand: promotional ones first, then by expiry. Needs integer.lua. Its twin in property tests is
-- tests/ledger/lots_model.py.
--
-- A wallet that has lots has them in its field `lots`, with spaces between:
--   <id>,<rank: 0 promotional, 1 paid>,<expiry, Unix ms; 0: never>,<rest>,<reserved>,<1: it has ended>
-- `rest` is what no hold has reserved of it, `reserved` what open holds have. What a hold has of which lot is in the field
-- `hold:<request id>`, as `<id>,<amount>` with spaces between: it may spend that after the expiry, too. What it leaves
-- then goes back to its lot, and out of the wallet if that has ended.
--
-- What other money lacks, because the wallet owes more than it has of that, a lot pays when it expires. So an expiry
-- never takes what is available below zero.
local function lots_library() -- a function, so that wallets without lots do not even pay for its parts
  local function parse_lots(text)
    local lots = {}
    for id, rank, expires, rest, reserved, ended in string.gmatch(text or '', '(%w+),(%d),(%d+),(%d+),(%d+),(%d)') do
      lots[#lots + 1] = { id = id, rank = tonumber(rank), expires = tonumber(expires), rest = rest, reserved = reserved,
                          ended = ended == '1' }
    end
    return lots
  end

  local function save_lots(wallet, lots) -- those that have something left
    local out = {}
    for _, lot in ipairs(lots) do
      if lot.rest ~= '0' or lot.reserved ~= '0' then
        local expires = string.format('%d', lot.expires)
        out[#out + 1] = table.concat({ lot.id, lot.rank, expires, lot.rest, lot.reserved, lot.ended and 1 or 0 }, ',')
      end
    end
    if #out > 0 then
      redis.call('HSET', wallet, 'lots', table.concat(out, ' '))
    else
      redis.call('HDEL', wallet, 'lots')
    end
  end

  local function has_ended(lot, now)
    return lot.ended or (lot.expires > 0 and lot.expires <= now)
  end

  local function leaving(lots, now, available) -- what leaves the wallet by now, in sum; and the lots that it leaves
    local owed, ended, sum = negate(available), {}, '0'
    for place, lot in ipairs(lots) do
      owed, lot.place = add(owed, lot.rest), place
      if has_ended(lot, now) then ended[#ended + 1] = lot end
    end
    owed = maximum(owed, '0')
    table.sort(ended, function(a, b) return a.expires < b.expires or a.expires == b.expires and a.place < b.place end)
    for _, lot in ipairs(ended) do
      local paid = less(owed, lot.rest) and owed or lot.rest
      owed, lot.leaves = subtract(owed, paid), subtract(lot.rest, paid)
      sum = add(sum, lot.leaves)
    end
    return sum, ended
  end

  local function expire_lots(wallet, events, lots, now, available, hold) -- takes out what leaves; returns the sum
    local sum, ended = leaving(lots, now, available)
    local app, user = string.match(wallet, 'wallet:([^:]+):?(.*)$')
    for _, lot in ipairs(ended) do
      if lot.leaves ~= '0' then
        local id, time = lot.id .. '-expired', string.format('%d', lot.expires)
        if lot.ended then id, time = id .. '-' .. hold, string.format('%d', now) end
        local event = string.format(
          '{"id":"%s","time":%s,"started":%s,"app":"%s","user":%s,"key":null,"plan":"","workload":null,"model":"",'
            .. '"outcome":"expired","type":"credit","lot":"%s"}',
          id, time, time, app, user == '' and 'null' or '"' .. user .. '"', lot.id)
        redis.call('XADD', events, '*', 'event', event, 'amount', negate(lot.leaves),
          'wallet', user == '' and 'app' or 'user')
      end
      lot.rest, lot.ended = '0', true
    end
    if sum ~= '0' then redis.call('HSET', wallet, 'granted', subtract(redis.call('HGET', wallet, 'granted'), sum)) end
    return sum
  end

  local function take_from_lots(lots, now, amount) -- the parts that it takes, as lot and amount
    local parts = {}
    for _, lot in ipairs(lots) do
      if lot.rest ~= '0' and less('0', amount) and not has_ended(lot, now) then
        local part = less(amount, lot.rest) and amount or lot.rest
        amount, lot.rest = subtract(amount, part), subtract(lot.rest, part)
        parts[#parts + 1] = { lot = lot, amount = part }
      end
    end
    return parts
  end

  local function reserve_lots(wallet, lots, now, hold, amount)
    local out = {}
    for i, part in ipairs(take_from_lots(lots, now, amount)) do
      part.lot.reserved = add(part.lot.reserved, part.amount)
      out[i] = part.lot.id .. ',' .. part.amount
    end
    if #out == 0 then return end
    redis.call('HSET', wallet, 'hold:' .. hold, table.concat(out, ' '))
    save_lots(wallet, lots)
  end

  local function spend_lots(wallet, events, text, now, hold, used, released) -- behind the change of spent and held
    local lots, by_id = parse_lots(text), {}
    for _, lot in ipairs(lots) do by_id[lot.id] = lot end
    local state = redis.call('HMGET', wallet, 'granted', 'spent', 'held')
    local available = subtract(state[1] or '0', add(state[2] or '0', state[3] or '0'))
    local before = subtract(add(available, used), released)
    available = subtract(available, expire_lots(wallet, events, lots, now, before, hold))

    local unpaid, parts = used, redis.call('HGET', wallet, 'hold:' .. hold)
    if parts then redis.call('HDEL', wallet, 'hold:' .. hold) end
    for id, part in string.gmatch(parts or '', '(%w+),(%d+)') do
      local lot, spent = by_id[id], maximum(less(unpaid, part) and unpaid or part, '0')
      unpaid = subtract(unpaid, spent)
      lot.reserved, lot.rest = subtract(lot.reserved, part), add(lot.rest, subtract(part, spent))
    end
    take_from_lots(lots, now, unpaid)
    expire_lots(wallet, events, lots, now, available, hold)
    save_lots(wallet, lots)
  end

  local function plan_expiry(wallets, wallet, lots) -- notes when a lot of this wallet expires next
    local next
    for _, lot in ipairs(lots) do
      if lot.expires > 0 and not lot.ended and lot.expires < (next or math.huge) then next = lot.expires end
    end
    if next then
      redis.call('ZADD', wallets, string.format('%d', next), wallet)
    else
      redis.call('ZREM', wallets, wallet)
    end
  end

  return { parse = parse_lots, save = save_lots, has_ended = has_ended, leaving = leaving, expire = expire_lots,
           reserve = reserve_lots, spend = spend_lots, plan_expiry = plan_expiry }
end
