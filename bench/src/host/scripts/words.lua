-- Binary trees, tables that grow, and text put together from parts.
local state = 1
local function number(limit)
  state = (state * 1103515245 + 12345) % 2147483648
  return state % limit
end

local function tree(depth)
  if depth == 0 then return {} end
  return { tree(depth - 1), tree(depth - 1) }
end

local function count(node)
  if not node[1] then return 1 end
  return 1 + count(node[1]) + count(node[2])
end

local nodes = 0
for _ = 1, 40 do nodes = nodes + count(tree(14)) end
local counts = {}
for _ = 1, 500000 do
  local word = "w" .. number(20011)
  counts[word] = (counts[word] or 0) + 1
end
local names = {}
for name, times in pairs(counts) do names[#names + 1] = name .. "=" .. times end
table.sort(names)
local text = table.concat(names, ";")
local upper = text:gsub("w(%d+)", function(digits) return "W" .. digits:reverse() end)
print(nodes, #names, #text, #upper)
