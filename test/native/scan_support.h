// Frames and rings for the tests, and a scan over heap blocks of the exact size, so that a
// sanitizer sees every byte read or written outside.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/batch-scan.h"
#include "core/bytes.h"

namespace mq::test {

using Bytes = std::vector<uint8_t>;

inline void put_be(Bytes* out, uint64_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    out->push_back(static_cast<uint8_t>(value >> shift));
  }
}

inline void put(Bytes* out, const Bytes& more) { out->insert(out->end(), more.begin(), more.end()); }

inline Bytes bytes_of(const std::string& text) { return Bytes(text.begin(), text.end()); }

inline Bytes frame(uint8_t opcode, uint8_t flags, uint16_t topic, uint32_t id, const Bytes& body) {
  Bytes out;
  put_be(&out, 8 + body.size(), 4);
  out.push_back(opcode);
  out.push_back(flags);
  put_be(&out, topic, 2);
  put_be(&out, id, 4);
  put(&out, body);
  return out;
}

inline Bytes produce(uint64_t sequence, uint32_t id, uint8_t flags, const Bytes& message,
                     uint16_t topic = 1) {
  Bytes body;
  put_be(&body, sequence, 6);
  put(&body, message);
  return frame(wire::kProduce, flags, topic, id, body);
}

struct Record {
  uint8_t flags;
  Bytes message;
};

inline Bytes produce_batch(uint64_t first, uint32_t id, const std::vector<Record>& records) {
  Bytes body;
  put_be(&body, first, 6);
  put_be(&body, records.size(), 2);
  for (const Record& record : records) {
    put_be(&body, 1 + record.message.size(), 4);
    body.push_back(record.flags);
    put(&body, record.message);
  }
  return frame(wire::kProduceBatch, 0, 1, id, body);
}

/// A key and one header before the value.
inline Bytes rich_message(const std::string& key, const std::string& name,
                          const std::string& value) {
  Bytes out;
  put_be(&out, key.size(), 2);
  put(&out, bytes_of(key));
  put_be(&out, 1 + name.size() + 2, 2);
  out.push_back(static_cast<uint8_t>(name.size()));
  put(&out, bytes_of(name));
  put_be(&out, wire::kNullHeader, 2);
  put(&out, bytes_of(value));
  return out;
}

/// A ring whose only entry ends exactly where the block ends; scan it from 0 to `end()` via wrap.
class OneEntryRing {
 public:
  explicit OneEntryRing(const Bytes& payload, uint32_t connection = 5) {
    const size_t padded = (payload.size() + 7) & ~size_t{7};
    size_ = kFront + 16 + padded;
    // Not a vector: its spare capacity would hide an overrun.
    block_ = std::make_unique<uint8_t[]>(size_);
    store_le32(block_.get() + kFront, static_cast<uint32_t>(payload.size()));
    store_le32(block_.get() + kFront + 4, connection);
    store_le32(block_.get() + kFront + 12, 1);
    if (!payload.empty()) memcpy(block_.get() + kFront + 16, payload.data(), payload.size());
  }
  const uint8_t* data() const { return block_.get(); }
  size_t size() const { return size_; }
  size_t from() const { return kFront; }

 private:
  static constexpr size_t kFront = 8;
  size_t size_ = 0;
  std::unique_ptr<uint8_t[]> block_;
};

/// A scan with its tables.
class Scanner {
 public:
  explicit Scanner(uint32_t messages_max = 64, uint32_t segments_max = 32)
      : segments_(segments_max * kSegmentInts),
        accept_(messages_max),
        topics_of_(messages_max),
        topics_(messages_max),
        counts_(messages_max),
        scan_(MessageLimits{64, 16, 64}, messages_max, segments_max,
              ScanTables{segments_.data(), accept_.data(), topics_of_.data(), topics_.data(),
                         counts_.data()}) {}

  BatchScan& scan() { return scan_; }
  const char* run(const OneEntryRing& ring, size_t from) {
    return scan_.scan(ring.data(), ring.size(), from, 0, 1u << 30, 0);
  }
  int32_t segment(uint32_t index, SegmentField field) const {
    return segments_[index * kSegmentInts + field];
  }
  std::vector<uint8_t>& accept() { return accept_; }

 private:
  std::vector<int32_t> segments_;
  std::vector<uint8_t> accept_;
  std::vector<uint16_t> topics_of_;
  std::vector<int32_t> topics_;
  std::vector<int32_t> counts_;
  BatchScan scan_;
};

}  // namespace mq::test
