// What a generator counts, and the one JSON object it prints.
#pragma once
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <sys/resource.h>
#include <vector>

#include "load/histogram.h"

namespace mq::loadgen {

struct Totals {
  uint64_t count_from = 0, end = 0;  // the counted time, ns
  bool open_loop = false;
  uint64_t sent = 0;
  uint64_t acked = 0;              // of the whole run
  uint64_t acked_counted = 0;      // of the counted time, as are the latencies
  std::map<int, uint64_t> failed;  // by error code
  Histogram latency;
  // Latencies of each stretch of `window_nanos` of the counted time, when that is above 0.
  uint64_t window_nanos = 0;
  std::vector<Histogram> windows;

  // One good answer at `now` to what was (meant to be) sent at `sent`. The closed loop counts by the
  // time of the answer; the open loop by the intended time, or the slowest would not count.
  void Answered(uint64_t sent, uint64_t now) {
    acked++;
    const uint64_t at = open_loop ? sent : now;
    if (at < count_from || at >= end) return;
    acked_counted++;
    const uint64_t nanos = now > sent ? now - sent : 0;
    latency.Record(nanos);
    if (window_nanos == 0) return;
    const size_t window = (at - count_from) / window_nanos;
    while (windows.size() <= window) windows.emplace_back();
    windows[window].Record(nanos);
  }

  // How long was counted when the last answer came at `finished`, in seconds.
  double CountedSeconds(uint64_t finished) const {
    const uint64_t until = open_loop || finished < end ? finished : end;
    return until > count_from ? static_cast<double>(until - count_from) / 1e9 : 0;
  }

  uint64_t failures() const {
    uint64_t sum = 0;
    for (const auto& [code, count] : failed) sum += count;
    return sum;
  }
};

// User and system time of this process, in seconds.
inline double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

inline std::string WindowsText(const Totals& totals) {
  if (totals.window_nanos == 0) return "";
  std::string text;
  for (const Histogram& h : totals.windows) {
    char one[160];
    std::snprintf(one, sizeof one, "%s{\"answers\":%llu,\"p50\":%.4f,\"p99\":%.4f,\"max\":%.4f}",
                  text.empty() ? "" : ",", static_cast<unsigned long long>(h.total()),
                  h.PercentileMs(0.5), h.PercentileMs(0.99), h.MaxMs());
    text += one;
  }
  return ",\"windows\":[" + text + "]";
}

// `seconds`: how long answers were counted; `cpu`: CpuSeconds() of that time and the warm-up.
inline void PrintReport(const Totals& totals, double seconds, double cpu) {
  std::string failed;
  for (const auto& [code, count] : totals.failed) {
    if (!failed.empty()) failed += ",";
    failed += "\"" + std::to_string(code) + "\":" + std::to_string(count);
  }
  const Histogram& h = totals.latency;
  std::printf(
      "{\"requestsPerSecond\":%.1f,\"acked\":%llu,\"sent\":%llu,\"failed\":%llu,"
      "\"failedByCode\":{%s},\"seconds\":%.3f,"
      "\"latencyMs\":{\"p50\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"p999\":%.4f,\"max\":%.4f},"
      "\"cpuSeconds\":%.3f%s}\n",
      seconds > 0 ? static_cast<double>(totals.acked_counted) / seconds : 0.0,
      static_cast<unsigned long long>(totals.acked), static_cast<unsigned long long>(totals.sent),
      static_cast<unsigned long long>(totals.failures()), failed.c_str(), seconds,
      h.PercentileMs(0.5), h.PercentileMs(0.9), h.PercentileMs(0.99), h.PercentileMs(0.999),
      h.MaxMs(), cpu, WindowsText(totals).c_str());
}

}  // namespace mq::loadgen
