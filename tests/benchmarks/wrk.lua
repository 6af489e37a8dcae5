-- POST the JSON given after `--`, and report in JSON: counts, and latencies in microseconds.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

function init(arguments)
  wrk.body = arguments[1]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "duration": %d, "p50": %d, "p99": %d, "status": %d, "broken": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
