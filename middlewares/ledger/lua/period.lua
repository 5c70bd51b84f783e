-- Library: calendar periods in UTC from Unix milliseconds: 'd' -> "20261121", 'm' -> "202611", and when the next one
-- begins; 't' -> "total", which has no end. Its twin in Python is `periods.py`.
local DAY_MS = 86400000

local function civil(days) -- days since 1970-01-01 -> year, month, day (proleptic Gregorian)
  local shifted = days + 719468
  local era = math.floor(shifted / 146097)
  local of_era = shifted - era * 146097
  local year_of_era = math.floor(
    (of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524) - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year_of_era + math.floor(year_of_era / 4) - math.floor(year_of_era / 100))
  local slot = math.floor((5 * of_year + 2) / 153)
  local month = slot < 10 and slot + 3 or slot - 9
  local year = year_of_era + era * 400 + (month <= 2 and 1 or 0)
  return year, month, of_year - math.floor((153 * slot + 2) / 5) + 1
end

local function period_of(kind, now_ms)
  if kind == 't' then return 'total' end
  local year, month, day = civil(math.floor(now_ms / DAY_MS))
  if kind == 'd' then return string.format('%04d%02d%02d', year, month, day) end
  return string.format('%04d%02d', year, month)
end

local function period_ends(kind, now_ms) -- Unix milliseconds
  local days = math.floor(now_ms / DAY_MS)
  if kind == 'd' then return (days + 1) * DAY_MS end
  local _, _, day = civil(days)
  local past = days - day + 32 -- the first of this month and 31 days: one of the first four days of the next
  local _, _, day_of_next = civil(past)
  return (past - day_of_next + 1) * DAY_MS
end
