// `mq_load receive`: subscribes with many connections, acks every message by its own token, and
// verifies what came. One thread, epoll. Prints one JSON object.
#pragma once
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <sys/epoll.h>
#include <vector>

#include "load/flags.h"
#include "load/receiver.h"

namespace mq::loadgen {

inline ReceiveOptions ParseReceiveOptions(int argc, char** argv) {
  ReceiveOptions o;
  Flags flags("mq_load receive", "consumes from a node over MQP and prints one JSON object");
  flags.Text("--host", &o.host, "an IPv4 address");
  flags.Count("--port", &o.port, 1, 65535, "1 to 65535");
  flags.Text("--topic", &o.topic, "the topic to read");
  flags.Text("--group", &o.group, "the group to read it for");
  flags.Text("--mode", &o.mode, "shared, key-ordered or partition-ordered");
  flags.Count("--connections", &o.connections, 1, 60000, "subscriptions, one a connection");
  flags.Count("--window", &o.window, 0, 65535, "unacked messages among which acks are drawn");
  flags.Count("--credit", &o.credit, 1, 65536, "messages of a connection that may be out");
  flags.Count("--lease", &o.lease, 100, 43200000, "lease in ms");
  flags.Choice("--wait", &o.committed, "recorded", "committed", "what an ack waits for");
  flags.Choice("--latency", &o.stamped, "off", "stamp", "stamp: values begin with a time");
  flags.Count("--count", &o.count, 0, 2000000000, "messages to take in all; 0 is by time");
  flags.Real("--duration", &o.duration, "seconds that are counted, or at most waited for a count");
  flags.Real("--warmup", &o.warmup, "seconds before, of which no latency counts");
  flags.Real("--drain", &o.drain, "seconds to wait for answers at the end");
  flags.Parse(argc, argv);
  if (o.window >= o.credit) flags.Refuse("--window is below", "--credit");
  return o;
}

class ReceiveRun {
 public:
  explicit ReceiveRun(const ReceiveOptions& o) : options_(o) {}
  ~ReceiveRun() {
    if (epoll_ >= 0) close(epoll_);
  }

  bool Go() {
    begin_ = NowNanos();
    totals_.count_from = begin_ + static_cast<uint64_t>(options_.warmup * 1e9);
    totals_.end = totals_.count_from + static_cast<uint64_t>(options_.duration * 1e9);
    return Connect() && Loop();
  }

  void Print(double cpu) const {
    const bool by_count = options_.count > 0;
    const uint64_t from = by_count ? first_ : totals_.count_from;
    const uint64_t until = by_count ? finished_ : std::min(finished_, totals_.end);
    const double seconds = until > from ? static_cast<double>(until - from) / 1e9 : 0;
    const uint64_t counted = by_count ? seen_.received : totals_.acked_counted;
    uint64_t idle = 0;
    for (const auto& c : receivers_) idle += c->received() == 0 ? 1 : 0;
    std::string failed;
    for (const auto& [code, count] : totals_.failed) {
      failed += (failed.empty() ? "\"" : ",\"") + std::to_string(code) + "\":" + std::to_string(count);
    }
    const Histogram& h = totals_.latency;
    std::printf(
        "{\"messagesPerSecond\":%.1f,\"received\":%llu,\"again\":%llu,\"redelivered\":%llu,"
        "\"withoutId\":%llu,\"acked\":%llu,\"failed\":%llu,\"failedByCode\":{%s},\"idle\":%llu,"
        "\"seconds\":%.3f,\"latencyMs\":{\"p50\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"p999\":%.4f,"
        "\"max\":%.4f},\"cpuSeconds\":%.3f}\n",
        seconds > 0 ? static_cast<double>(counted) / seconds : 0.0, Number(seen_.received),
        Number(seen_.again), Number(seen_.redelivered), Number(seen_.without_id),
        Number(totals_.sent), Number(totals_.failures()), failed.c_str(), Number(idle), seconds,
        h.PercentileMs(0.5), h.PercentileMs(0.9), h.PercentileMs(0.99), h.PercentileMs(0.999),
        h.MaxMs(), cpu);
  }

  const std::string& error() const { return error_; }

 private:
  static unsigned long long Number(uint64_t n) { return n; }

  bool Connect() {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    events_.resize(static_cast<size_t>(options_.connections));
    for (int i = 0; i < options_.connections; i++) {
      receivers_.push_back(
          std::make_unique<Receiver>(options_, &totals_, &seen_, static_cast<uint64_t>(i + 1)));
      Receiver* c = receivers_.back().get();
      if (!c->Open(&error_)) return false;
      epoll_event event{};
      event.events = EPOLLIN | EPOLLOUT;
      event.data.ptr = c;
      if (epoll_ctl(epoll_, EPOLL_CTL_ADD, c->fd(), &event) == 0) continue;
      error_ = Reason("epoll");
      return false;
    }
    return true;
  }

  bool FlushAndWatch(Receiver* c) {
    if (!c->Flush()) {
      error_ = Reason("write");
      return false;
    }
    if (c->unsent() == c->watching_write) return true;
    c->watching_write = c->unsent();
    epoll_event event{};
    event.events = EPOLLIN | (c->unsent() ? EPOLLOUT : 0u);
    event.data.ptr = c;
    epoll_ctl(epoll_, EPOLL_CTL_MOD, c->fd(), &event);
    return true;
  }

  bool IsOver(uint64_t now) const {
    const uint64_t count = static_cast<uint64_t>(options_.count);
    return options_.count > 0 ? seen_.received - seen_.again >= count : now >= totals_.end;
  }

  bool Settled() const {
    return std::all_of(receivers_.begin(), receivers_.end(), [](const auto& c) {
      return c->held() == 0 && c->unanswered() == 0;
    });
  }

  bool Loop() {
    bool over = false;
    const uint64_t limit = totals_.end + static_cast<uint64_t>(options_.drain * 1e9);
    for (;;) {
      const uint64_t now = NowNanos();
      if (!over && IsOver(now)) {
        over = true;
        for (auto& c : receivers_) {
          c->AckDownTo(0);
          if (!FlushAndWatch(c.get())) return false;
        }
      }
      if (over && Settled()) {
        finished_ = NowNanos();
        return true;
      }
      if (now > limit) {
        finished_ = now;
        error_ = over ? "answers are missing after the drain time" : "messages are missing";
        return false;
      }
      const int n = epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), 100);
      for (int i = 0; i < n; i++) {
        auto* c = static_cast<Receiver*>(events_[static_cast<size_t>(i)].data.ptr);
        if (!c->Read(&error_)) return false;
        if (first_ == 0 && seen_.received > 0) first_ = NowNanos();
        c->AckDownTo(over ? 0 : static_cast<size_t>(options_.window));
        if (!FlushAndWatch(c)) return false;
      }
    }
  }

  const ReceiveOptions& options_;
  Totals totals_;
  Seen seen_;
  std::vector<std::unique_ptr<Receiver>> receivers_;
  std::vector<epoll_event> events_;
  int epoll_ = -1;
  uint64_t begin_ = 0, first_ = 0, finished_ = 0;
  std::string error_;
};

}  // namespace mq::loadgen
