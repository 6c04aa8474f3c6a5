-- For wrk: each request asks for a path that nobody asked for before.
local count = 0

request = function()
  count = count + 1
  return wrk.format("GET", "/items/" .. count .. "?page=" .. (count % 7))
end
