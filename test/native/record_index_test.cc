#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/murmur2.h"
#include "core/record-index.h"

namespace {

void record(std::vector<uint8_t>* out, uint64_t offset, const std::string* key, bool with_id,
            const std::string& value) {
  const size_t start = out->size();
  out->resize(start + 21);
  mq::store_be64(out->data() + start + 4, offset);
  mq::store_be64(out->data() + start + 12, 1);
  (*out)[start + 20] = static_cast<uint8_t>((key == nullptr ? 0 : 1) | (with_id ? 0x40 : 0));
  if (with_id) out->insert(out->end(), 16, 7);
  if (key != nullptr) {
    const size_t at = out->size();
    out->resize(at + 4);
    mq::store_be32(out->data() + at, static_cast<uint32_t>(key->size()));
    out->insert(out->end(), key->begin(), key->end());
  }
  out->insert(out->end(), value.begin(), value.end());
  mq::store_be32(out->data() + start, static_cast<uint32_t>(out->size() - start - 4));
}

std::vector<uint8_t> sample() {
  std::vector<uint8_t> bytes;
  const std::string key = "key-7";
  const std::string empty;
  record(&bytes, 5, nullptr, false, "a");
  record(&bytes, 9, &key, true, "bcd");
  record(&bytes, 1ull << 40, &empty, false, "");
  return bytes;
}

TEST(RecordIndex, FindsRecordsWithGapsAndHashesTheirKeys) {
  const std::vector<uint8_t> bytes = sample();
  mq::RecordIndex index;
  ASSERT_TRUE(mq::index_records(bytes.data(), bytes.size(), &index));
  EXPECT_EQ(index.starts, (std::vector<uint32_t>{0, 22, 22 + 49, 71 + 25}));
  EXPECT_EQ(index.offsets, (std::vector<double>{5, 9, 1099511627776.0}));
  const auto* key = reinterpret_cast<const uint8_t*>("key-7");
  const uint32_t none = mq::murmur2(nullptr, 0);
  EXPECT_EQ(index.key_hashes,
            (std::vector<uint32_t>{0, mq::murmur2(key, 5), none == 0 ? 1 : none}));
}

TEST(RecordIndex, RefusesEveryCutThatIsNotBetweenRecords) {
  const std::vector<uint8_t> bytes = sample();
  mq::RecordIndex index;
  for (size_t length = 0; length <= bytes.size(); length++) {
    const bool whole = length == 0 || length == 22 || length == 71 || length == bytes.size();
    const std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<long>(length));
    EXPECT_EQ(mq::index_records(cut.data(), cut.size(), &index), whole) << length;
  }
}

TEST(RecordIndex, RefusesAKeyThatLeadsOutOfItsRecord) {
  std::vector<uint8_t> bytes = sample();
  mq::store_be32(bytes.data() + 22 + 21 + 16, 0xffffffffu);
  mq::RecordIndex index;
  EXPECT_FALSE(mq::index_records(bytes.data(), bytes.size(), &index));
}

}  // namespace
