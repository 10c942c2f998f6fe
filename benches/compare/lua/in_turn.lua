-- One large file after the other, so that no two connections share one; the first argument is their number.
require("report")
local next_file, count = -1, 0
function init(arguments)
  count = tonumber(arguments[1])
end
function request()
  next_file = (next_file + 1) % count
  return wrk.format("GET", string.format("/cold/%02d.bin", next_file))
end
