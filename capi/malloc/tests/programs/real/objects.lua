-- Tables, strings and closures, with a collector that frees.
local rows, state = {}, 42
local function next_number(most)
    state = (state * 1103515245 + 12345) % 2147483648
    return state // 65536 % most
end
for i = 1, 200000 do
    local key = next_number(5000)
    rows[key] = { name = "row" .. i, size = next_number(1000), text = ("x"):rep(next_number(200)) }
    if i % 50 == 0 then rows[next_number(5000)] = nil end
end
collectgarbage()
local count, size, length = 0, 0, 0
for key = 0, 4999 do
    local row = rows[key]
    if row then count, size, length = count + 1, size + row.size, length + #row.text end
end
print(count, size, length)
local parts = {}
for i = 1, 50000 do parts[#parts + 1] = string.format("%d:%s", i, ("ab"):rep(i % 17)) end
local text = table.concat(parts, ",")
print(#text, select(2, text:gsub("abab", "")))
local routines = {}
for i = 1, 2000 do
    routines[i] = coroutine.wrap(function() for j = 1, 3 do coroutine.yield(i * j) end end)
end
local sum = 0
for turn = 1, 3 do for i = 1, 2000 do sum = sum + routines[i]() end end
print(sum)
