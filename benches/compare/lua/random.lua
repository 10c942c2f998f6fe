-- One of the first argument's number of files at random, the same order for every server.
require("report")
local requests, count = {}, 0
function init(arguments)
  count = tonumber(arguments[1])
  math.randomseed(1)
  for i = 0, count - 1 do
    requests[i] = wrk.format("GET", string.format("/files/%05d.bin", i))
  end
end
function request()
  return requests[math.random(0, count - 1)]
end
