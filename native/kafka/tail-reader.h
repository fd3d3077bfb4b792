// Reads of partitions without a group.
//
// Two threads: one serves reads and owns the cursors, the other asks what blocks (log start and
// end, offset of a time). Rules: (1) a read is in exactly one place: the inbox, the asker's
// queue, or the list of those being served; (2) its answer is given once, on either thread;
// (3) the threads share ownership of this object, so Close returns at once and `done` is called
// when both have ended; (4) the last of them ends the cursors, so that no other thread waits for
// that, whoever lets go of this object last.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kafka/tail-cursors.h"

namespace mq::kafka {

enum class TailFrom { kOffset = 0, kBeginning = 1, kEnd = 2, kTime = 3 };

struct TailAnswer {
  int code = 0;
  std::string error;
  int64_t start = 0;
  int64_t end = 0;
  int64_t next = 0;
  uint32_t count = 0;
  std::vector<uint8_t> records;
};

struct TailRead {
  std::string topic;
  int32_t partition = 0;
  TailFrom from = TailFrom::kOffset;
  int64_t position = 0;
  size_t bytes_max = 0;
  int64_t wait_ms = 0;
  /// Only log start and end are wanted.
  bool offsets_only = false;
  int ask_timeout_ms = 5000;
  std::function<void(TailAnswer answer)> done;

  // The reader's own.
  int64_t deadline_ms = 0;
  bool asked = false;
  /// Nothing came and something was amiss: the brokers have the last word on that, once.
  bool doubted = false;
  bool at_end = false;
  TailCursor* cursor = nullptr;
  TailAnswer answer;
};

class TailReader : public std::enable_shared_from_this<TailReader> {
 public:
  static std::shared_ptr<TailReader> Open(Config config, size_t cursors_max, std::string* error);
  void Read(std::unique_ptr<TailRead> read);
  void Close(std::function<void()> done);

 private:
  using ReadPtr = std::unique_ptr<TailRead>;

  TailReader(Config config, size_t cursors_max)
      : cursors_(std::move(config), cursors_max, [this] { Signal(); }) {}

  void Signal();
  void Serve();
  void Admit(ReadPtr read);
  /// 0, or why there is no cursor.
  int StartCursor(TailRead* read, std::string* error);
  /// True when the read is answered, or has a doubt that is to be asked about.
  bool Advance(TailRead* read, int64_t now_ms);
  bool TakeMessage(TailRead* read, rd_kafka_message_t* message);
  /// It has no cursor any more, and begins again where that stood.
  void Doubt(TailRead* read);
  void Finish(TailRead* read);
  void Fail(TailRead* read, int code, const std::string& error);
  /// The last thing a thread does; `own` are the reads that it alone has.
  void End(std::unique_lock<std::mutex> guard, std::vector<ReadPtr> own);

  void Ask();
  bool AskOffsets(TailRead* read);

  std::mutex lock_;
  std::condition_variable bell_;
  std::condition_variable ask_bell_;
  bool signalled_ = false;
  bool closed_ = false;
  int threads_ = 2;
  std::function<void()> closed_done_;
  std::deque<ReadPtr> inbox_;
  std::deque<ReadPtr> to_ask_;

  // Serving thread.
  TailCursors cursors_;
  std::vector<ReadPtr> active_;
  /// For a cursor: each is busy, or as many hold this partition as may.
  std::vector<ReadPtr> waiting_;
  std::vector<rd_kafka_message_t*> taken_;
};

}  // namespace mq::kafka
