-- Library: the key of something about a rule, beside the rule's own: `tollgate:{t3}:shares:lease:...`.
local function beside(key, name) return (string.gsub(key, '^([^}]*}:)', '%1' .. name .. ':', 1)) end
