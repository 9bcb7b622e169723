-- Many URLs, many browsers: wrk ... -s mix.lua URL -- TARGETS BROWSERS (contents.py writes both).
-- wrk has one Lua state for all connections of a thread, so that the browser is chosen for each
-- request and not for each connection.
local targets, browsers, turn = {}, {}, 0

function init(args)
   for path in io.lines(args[1]) do
      targets[#targets + 1] = "GET " .. path .. " HTTP/1.1\r\n"
   end
   for block in io.open(args[2], "rb"):read("*a"):gmatch("(.-\r\n\r\n)") do
      browsers[#browsers + 1] = block
   end
end

function request()
   turn = turn + 1
   return targets[turn % #targets + 1] .. browsers[turn % #browsers + 1]
end
