-- Loaded by every script: prints what wrk measured as one line that wrk.py reads.
function done(summary, latency)
  local e = summary.errors
  io.write(string.format("@@ %d %d %d %d %d %d %d %d %d\n", summary.requests, summary.bytes,
    summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect, e.read + e.write, e.status, e.timeout))
end
