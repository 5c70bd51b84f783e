-- Library: the part of a list from one place to another, both included.
local function slice(list, first, last)
  local out = {}
  for i = first, last do out[#out + 1] = list[i] end
  return out
end
