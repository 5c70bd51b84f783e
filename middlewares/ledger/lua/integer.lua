-- Library: exact integers of any size as decimal strings ("-12", "0", "987..."), for amounts past 2^53. Its twin in
-- property tests is Python's int.
-- Lua numbers are doubles: small values are computed as such, others as limbs of 10^7, least first.
local SMALL = 15
local BASE = 10000000

local function limbs(digits)
  local out = {}
  for last = #digits, 1, -7 do
    out[#out + 1] = tonumber(string.sub(digits, math.max(1, last - 6), last))
  end
  return out
end

local function digits(list)
  local top = #list
  while top > 1 and list[top] == 0 do top = top - 1 end
  local out = { string.format('%d', list[top]) }
  for i = top - 1, 1, -1 do out[#out + 1] = string.format('%07d', list[i]) end
  return table.concat(out)
end

local function compare_magnitudes(a, b)
  if #a ~= #b then return #a < #b and -1 or 1 end
  if a == b then return 0 end
  return a < b and -1 or 1
end

local function add_magnitudes(a, b)
  local x, y, out, carry = limbs(a), limbs(b), {}, 0
  for i = 1, math.max(#x, #y) do
    local sum = (x[i] or 0) + (y[i] or 0) + carry
    carry = sum >= BASE and 1 or 0
    out[i] = sum - carry * BASE
  end
  if carry > 0 then out[#out + 1] = carry end
  return digits(out)
end

local function subtract_magnitudes(a, b) -- a >= b
  local x, y, out, borrow = limbs(a), limbs(b), {}, 0
  for i = 1, #x do
    local difference = x[i] - (y[i] or 0) - borrow
    borrow = difference < 0 and 1 or 0
    out[i] = difference + borrow * BASE
  end
  return digits(out)
end

local function sign_of(a)
  if string.byte(a) == 45 then return -1, string.sub(a, 2) end
  return 1, a
end

local function signed(sign, magnitude)
  return sign < 0 and magnitude ~= '0' and '-' .. magnitude or magnitude
end

local function negate(a)
  local sign, magnitude = sign_of(a)
  return signed(-sign, magnitude)
end

local function add(a, b)
  if #a <= SMALL and #b <= SMALL then return string.format('%d', tonumber(a) + tonumber(b)) end
  local sign_a, x = sign_of(a)
  local sign_b, y = sign_of(b)
  if sign_a == sign_b then return signed(sign_a, add_magnitudes(x, y)) end
  if compare_magnitudes(x, y) >= 0 then return signed(sign_a, subtract_magnitudes(x, y)) end
  return signed(sign_b, subtract_magnitudes(y, x))
end

local function subtract(a, b) return add(a, negate(b)) end

local function less(a, b) -- a < b
  if #a <= SMALL and #b <= SMALL then return tonumber(a) < tonumber(b) end
  return string.byte(subtract(a, b)) == 45
end

local function maximum(a, b) return less(a, b) and b or a end

local function multiply(a, b)
  local sign_a, magnitude_a = sign_of(a)
  local sign_b, magnitude_b = sign_of(b)
  local x, y, out = limbs(magnitude_a), limbs(magnitude_b), {}
  for i = 1, #x + #y do out[i] = 0 end
  for i = 1, #x do
    local carry = 0
    for j = 1, #y do
      local value = out[i + j - 1] + x[i] * y[j] + carry
      carry = math.floor(value / BASE)
      out[i + j - 1] = value - carry * BASE
    end
    out[i + #y] = carry
  end
  return signed(sign_a * sign_b, digits(out))
end

local function divide_up(a, by) -- 1 <= by <= 10^14 as a number; rounds away from zero
  local sign, magnitude = sign_of(a)
  local out, rest = {}, 0
  for i = 1, #magnitude do -- digit by digit, so that rest * 10 stays exact for the largest divisor
    local value = rest * 10 + string.byte(magnitude, i) - 48
    out[i] = math.floor(value / by)
    rest = value - out[i] * by
  end
  local quotient = string.match(table.concat(out), '^0*(%d+)$')
  return signed(sign, rest > 0 and add(quotient, '1') or quotient)
end
