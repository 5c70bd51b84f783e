-- One run of wrk: sends one request with the API keys of a file in turn, and prints its result as a line of JSON.
-- Arguments: method, target, file of the keys (one a line; an empty line: no key), and where there is a body its media
-- type and its file.
-- Prints: requests, seconds, p50 and p99 in milliseconds, and errors (of sockets, and responses that are not 2xx or 3xx).
local requests, turn = {}, 0

function init(args)
  local body = args[5] and assert(io.open(args[5])):read("*a")
  for key in io.lines(args[3]) do
    local headers = { ["Content-Type"] = args[4] }
    if key ~= "" then
      headers["Authorization"] = "Bearer " .. key
    end
    requests[#requests + 1] = wrk.format(args[1], args[2], headers, body)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50":%.3f,"p99":%.3f,"errors":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.timeout + errors.status))
end
