-- Many hosts or many paths: wrk ... -s many.lua URL -- COUNT HOST PATH [FIRST]
-- %d in HOST and PATH becomes a number below COUNT: by chance, or from FIRST on one after another.
local count, host, path, turn

function init(args)
   count, host, path, turn = tonumber(args[1]), args[2], args[3], tonumber(args[4])
   math.randomseed(20260727)
end

function request()
   local number = turn or math.random(0, count - 1)
   if turn then
      turn = (turn + 1) % count
   end
   local line = "GET " .. path:gsub("%%d", number) .. " HTTP/1.1\r\n"
   return line .. "Host: " .. host:gsub("%%d", number) .. "\r\n\r\n"
end
