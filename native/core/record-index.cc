#include "core/record-index.h"

#include "core/bytes.h"
#include "core/murmur2.h"

namespace mq {
namespace {

constexpr size_t kHead = 4 + 8 + 8 + 1;
constexpr size_t kId = 16;
constexpr uint8_t kHasKey = 0x01;
constexpr uint8_t kHasId = 0x40;

}  // namespace

void RecordIndex::clear() {
  starts.clear();
  offsets.clear();
  key_hashes.clear();
}

void RecordIndex::add(uint32_t start, uint64_t offset, const uint8_t* key, size_t key_length) {
  starts.push_back(start);
  offsets.push_back(static_cast<double>(offset));
  uint32_t hash = 0;
  if (key != nullptr) {
    hash = murmur2(key, key_length);
    if (hash == 0) hash = 1;
  }
  key_hashes.push_back(hash);
}

bool index_records(const uint8_t* records, size_t length, RecordIndex* index) {
  index->clear();
  size_t at = 0;
  while (at < length) {
    if (length - at < kHead) return false;
    const size_t end = at + 4 + load_be32(records + at);
    if (end > length || end - at < kHead) return false;
    const uint8_t flags = records[at + 20];
    size_t field = at + kHead;
    if ((flags & kHasId) != 0) field += kId;
    const uint8_t* key = nullptr;
    size_t key_length = 0;
    if ((flags & kHasKey) != 0) {
      if (field + 4 > end) return false;
      key_length = load_be32(records + field);
      key = records + field + 4;
      if (key_length > end - field - 4) return false;
    }
    index->add(static_cast<uint32_t>(at), load_be64(records + at + 4), key, key_length);
    at = end;
  }
  index->finish(static_cast<uint32_t>(length));
  return true;
}

}  // namespace mq
