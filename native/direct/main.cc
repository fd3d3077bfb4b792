// mq_direct: what Kafka takes without a node between. The load of mq_load (same keys, same values,
// the same one header), produced with librdkafka as the node does it: acks of all, idempotence, no
// linger. Closed loop with a window over delivery reports, or open loop at a rate. Prints one JSON
// object with the keys of mq_load.
#include <cstdio>
#include <string>
#include <sys/prctl.h>
#include <time.h>

#include "direct/options.h"
#include "direct/producer.h"
#include "load/schedule.h"
#include "load/totals.h"

namespace mq::direct {
namespace {

constexpr uint64_t kPauseNanos = 50 * 1000;  // of the open loop
constexpr int kPollMs = 100;

struct Run {
  const Options& options;
  loadgen::Totals totals;
  Producer producer;

  explicit Run(const Options& o) : options(o), producer(o, &totals) {
    totals.open_loop = o.rate > 0;
  }

  // Whether a message may be sent that is meant to leave at `when`.
  bool MaySend(uint64_t when) const {
    return when < totals.end && (options.count == 0 || totals.sent < static_cast<uint64_t>(options.count));
  }
  void Fill(uint64_t now);
  void HandOut(loadgen::Schedule* plan, uint64_t now);
  bool Loop(uint64_t begin);
};

void Run::Fill(uint64_t now) {
  while (producer.room() > 0 && MaySend(now)) {
    if (!producer.Produce(now)) return;
    // A clock reading per message would be a cost of the measuring, one per window a false time.
    if (totals.sent % 16 == 0) now = loadgen::NowNanos();
  }
}

void Run::HandOut(loadgen::Schedule* plan, uint64_t now) {
  while (plan->Due(now) && producer.room() > 0 && MaySend(plan->Intended())) {
    if (!producer.Produce(plan->Intended())) return;
    plan->Take();
  }
}

bool Run::Loop(uint64_t begin) {
  loadgen::Schedule plan(options.rate, begin);
  const uint64_t limit = totals.end + static_cast<uint64_t>(options.drain * 1e9);
  for (;;) {
    uint64_t now = loadgen::NowNanos();
    const bool sending = MaySend(options.rate > 0 ? plan.Intended() : now);
    if (!sending && producer.outstanding() == 0) return true;
    if (now > limit) return false;
    if (options.rate == 0 || !sending) {
      if (sending) Fill(now);
      producer.TakeReports(kPollMs);
      continue;
    }
    HandOut(&plan, now);
    producer.TakeReports(0);
    now = loadgen::NowNanos();
    const timespec pause{0, static_cast<long>(plan.Pause(now, kPauseNanos) % 1000000000)};
    nanosleep(&pause, nullptr);
  }
}

int Main(int argc, char** argv) {
  const Options options = ParseOptions(argc, argv);
  prctl(PR_SET_TIMERSLACK, 1);
  Run run(options);
  std::string error;
  if (!run.producer.Open(&error)) {
    std::fprintf(stderr, "mq_direct: %s\n", error.c_str());
    return 1;
  }
  const double cpu = loadgen::CpuSeconds();
  const uint64_t begin = loadgen::NowNanos();
  run.totals.count_from = begin + static_cast<uint64_t>(options.warmup * 1e9);
  run.totals.end = run.totals.count_from + static_cast<uint64_t>(options.duration * 1e9);
  const bool whole = run.Loop(begin);
  const double seconds = run.totals.CountedSeconds(loadgen::NowNanos());
  loadgen::PrintReport(run.totals, seconds, loadgen::CpuSeconds() - cpu);
  if (!whole) std::fprintf(stderr, "mq_direct: reports are missing after the drain time\n");
  return whole ? 0 : 1;
}

}  // namespace
}  // namespace mq::direct

int main(int argc, char** argv) { return mq::direct::Main(argc, argv); }
