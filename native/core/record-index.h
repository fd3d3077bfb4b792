// Where the records of a packed run begin, with offset and key hash of each, so that JavaScript
// need not look into the bytes.
//   record := length:u32 offset:u64 timestampMs:u64 flags:u8 [id:16] [keyLength:u32 key] …
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mq {

struct RecordIndex {
  /// One more than there are records.
  std::vector<uint32_t> starts;
  std::vector<double> offsets;
  /// murmur2 of the key; 0 without a key, 1 for a key whose hash is 0.
  std::vector<uint32_t> key_hashes;

  void clear();
  /// Notes a record of which the bytes are not looked at.
  void add(uint32_t start, uint64_t offset, const uint8_t* key, size_t key_length);
  void finish(uint32_t end) { starts.push_back(end); }
};

/// False when a length leads out of the bytes or of its record; the index is then of no use.
bool index_records(const uint8_t* records, size_t length, RecordIndex* index);

}  // namespace mq
