// mq_load: a load generator that speaks MQP. One thread, epoll, prebuilt messages in which only
// sequence, correlation id and key are patched. Closed loop (a window per connection), or open
// loop at a rate, with latency from the intended send time. Prints one JSON object; exits with 1
// and a line on stderr when a connection breaks or answers are missing.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <poll.h>
#include <string>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <vector>

#include "load/connection.h"
#include "load/options.h"
#include "load/receive-run.h"
#include "load/schedule.h"
#include "load/totals.h"

namespace mq::loadgen {
namespace {

// How long the open loop sleeps at least: messages due in between leave together.
constexpr uint64_t kPauseNanos = 50 * 1000;
constexpr uint64_t kWaitNanos = 100 * 1000 * 1000;

struct Run {
  const Options& options;
  Totals totals;
  std::vector<std::unique_ptr<Connection>> connections;
  std::vector<epoll_event> events;
  std::vector<Connection*> filled;  // by the open loop in this round
  int epoll = -1;
  size_t turn = 0;  // the connection that the open loop asks next
  std::string error;

  explicit Run(const Options& o) : options(o) {
    totals.open_loop = o.rate > 0;
    totals.window_nanos = static_cast<uint64_t>(o.window * 1e9);
  }
  ~Run() {
    if (epoll >= 0) close(epoll);
  }

  bool Connect();
  bool Loop(uint64_t begin);

 private:
  // Whether a message may be sent that is meant to leave at `when`.
  bool MaySend(uint64_t when) const {
    return when < totals.end && (options.count == 0 || totals.sent < static_cast<uint64_t>(options.count));
  }
  bool Fill(Connection* c, uint64_t now);
  bool HandOut(Schedule* plan, uint64_t now);
  Connection* NextWithRoom(uint64_t now);
  bool FlushAndWatch(Connection* c);
  int Wait(uint64_t nanos);
  bool Drained() const;
};

// Thousands of connections need more descriptors than a process is given at first.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

bool Run::Connect() {
  epoll = epoll_create1(EPOLL_CLOEXEC);
  events.resize(static_cast<size_t>(options.connections));
  for (int i = 0; i < options.connections; i++) {
    connections.push_back(
        std::make_unique<Connection>(options, &totals, static_cast<uint64_t>(i + 1)));
    Connection* c = connections.back().get();
    if (!c->Open(&error)) return false;
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT;
    event.data.ptr = c;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd(), &event) != 0) {
      error = std::string("epoll: ") + std::strerror(errno);
      return false;
    }
  }
  return true;
}

// Writes, and asks for EPOLLOUT exactly while something is left to write.
bool Run::FlushAndWatch(Connection* c) {
  if (!c->Flush()) {
    error = std::string("write: ") + std::strerror(errno);
    return false;
  }
  if (c->unsent() == c->watching_write) return true;
  c->watching_write = c->unsent();
  epoll_event event{};
  event.events = EPOLLIN | (c->unsent() ? EPOLLOUT : 0u);
  event.data.ptr = c;
  epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd(), &event);
  return true;
}

// Closed loop: fills the window of a connection.
bool Run::Fill(Connection* c, uint64_t now) {
  if (options.rate == 0 && MaySend(now)) {
    int room = c->Room(now);
    if (options.count > 0) {
      const uint64_t left = static_cast<uint64_t>(options.count) - totals.sent;
      if (static_cast<uint64_t>(room) > left) room = static_cast<int>(left);
    } else {
      room -= room % options.batch;
    }
    if (room > 0) c->Append(room, now);
  }
  return FlushAndWatch(c);
}

Connection* Run::NextWithRoom(uint64_t now) {
  for (size_t tried = 0; tried < connections.size(); tried++) {
    Connection* c = connections[turn].get();
    turn = (turn + 1) % connections.size();
    if (c->Room(now) > 0) return c;
  }
  return nullptr;
}

// Open loop: hands out what is due. When every window is full it waits, and the delay counts.
bool Run::HandOut(Schedule* plan, uint64_t now) {
  filled.clear();
  while (plan->Due(now) && MaySend(plan->Intended())) {
    Connection* c = NextWithRoom(now);
    if (c == nullptr) break;
    c->Append(1, plan->Intended());
    plan->Take();
    filled.push_back(c);
  }
  return std::all_of(filled.begin(), filled.end(), [this](Connection* c) {
    return c->watching_write || FlushAndWatch(c);
  });
}

// epoll_wait counts in milliseconds, which is too coarse for the open loop.
int Run::Wait(uint64_t nanos) {
  pollfd one{epoll, POLLIN, 0};
  const timespec timeout{static_cast<time_t>(nanos / 1000000000),
                         static_cast<long>(nanos % 1000000000)};
  const int ready = ppoll(&one, 1, &timeout, nullptr);
  if (ready <= 0) return ready;
  return epoll_wait(epoll, events.data(), static_cast<int>(events.size()), 0);
}

bool Run::Drained() const {
  return std::all_of(connections.begin(), connections.end(),
                     [](const auto& c) { return c->outstanding() == 0; });
}

bool Run::Loop(uint64_t begin) {
  Schedule plan(options.rate, begin);
  const uint64_t limit = totals.end + static_cast<uint64_t>(options.drain * 1e9);
  for (;;) {
    uint64_t now = NowNanos();
    const bool sending = MaySend(options.rate > 0 ? plan.Intended() : now);
    if (!sending && Drained()) return true;
    if (now > limit) {
      error = "answers are missing after the drain time";
      return false;
    }
    const bool open_loop = options.rate > 0 && sending;
    if (open_loop && !HandOut(&plan, now)) return false;
    const int n = Wait(open_loop ? plan.Pause(NowNanos(), kPauseNanos) : kWaitNanos);
    if (n < 0 && errno != EINTR) {
      error = std::string("epoll: ") + std::strerror(errno);
      return false;
    }
    // Nothing was heard: a connection may have been told to wait, and its time may have come.
    if (n == 0 && options.rate == 0) {
      for (auto& c : connections) {
        if (!Fill(c.get(), NowNanos())) return false;
      }
    }
    for (int i = 0; i < n; i++) {
      auto* c = static_cast<Connection*>(events[static_cast<size_t>(i)].data.ptr);
      if (!c->Read(&error) || !Fill(c, NowNanos())) return false;
    }
  }
}

int Receive(int argc, char** argv) {
  const ReceiveOptions options = ParseReceiveOptions(argc, argv);
  RaiseFileLimit();
  ReceiveRun run(options);
  const double cpu = CpuSeconds();
  const bool whole = run.Go();
  run.Print(CpuSeconds() - cpu);
  if (!whole) std::fprintf(stderr, "mq_load: %s\n", run.error().c_str());
  return whole ? 0 : 1;
}

int Main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "receive") == 0) return Receive(argc - 1, argv + 1);
  const Options options = ParseOptions(argc, argv);
  RaiseFileLimit();
  prctl(PR_SET_TIMERSLACK, 1);
  Run run(options);
  if (!run.Connect()) {
    std::fprintf(stderr, "mq_load: %s\n", run.error.c_str());
    return 1;
  }
  const double cpu = CpuSeconds();
  const uint64_t begin = NowNanos();
  run.totals.count_from = begin + static_cast<uint64_t>(options.warmup * 1e9);
  run.totals.end = run.totals.count_from + static_cast<uint64_t>(options.duration * 1e9);
  const bool whole = run.Loop(begin);
  PrintReport(run.totals, run.totals.CountedSeconds(NowNanos()), CpuSeconds() - cpu);
  if (!whole) std::fprintf(stderr, "mq_load: %s\n", run.error.c_str());
  return whole ? 0 : 1;
}

}  // namespace
}  // namespace mq::loadgen

int main(int argc, char** argv) { return mq::loadgen::Main(argc, argv); }
