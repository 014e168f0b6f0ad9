-- wrk's side of `load.py`: sends the calls of a file in turn, over and over, and says what came back.
-- Arguments: file of calls (a line each: method, path, authorization, by tabs) · number of the first call · body or "-" ·
-- word. In the body @@@@@@@@@@@@ stands for twelve letters that no other request of the run has: word and a count.

local calls, at, word, sent = {}, 0, "", 0

function init(args)
  local body = args[3] ~= "-" and args[3] or nil
  for line in io.lines(args[1]) do
    local method, path, authorization = line:match("^(%S+)\t(%S+)\t(.*)$")
    local headers = { Accept = "application/json", Authorization = authorization }
    if body then headers["Content-Type"] = "application/json" end
    calls[#calls + 1] = wrk.format(method, path, headers, body)
  end
  at, word = tonumber(args[2]) - 1, args[4] -- wrk asks for one request that it does not send
end

function request()
  local call = calls[at % #calls + 1]
  at, sent = at + 1, sent + 1
  if word == "-" then return call end
  return (call:gsub("@@@@@@@@@@@@", string.format("%s%08x", word, sent), 1))
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"answers":%d,"took_us":%d,"refused":%d,"lost":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
