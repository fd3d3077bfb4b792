#include <gtest/gtest.h>

#include "kafka/opaque.h"

namespace mq::kafka {
namespace {

TEST(Opaque, KeepsWhatWasPacked) {
  for (const uint64_t sequence : {uint64_t{0}, uint64_t{77}, kSequenceMask}) {
    for (const bool placed : {false, true}) {
      const uint64_t bits = OpaqueBits(PackOpaque(200, SizeOfHeaders(5000), placed, sequence));
      EXPECT_EQ(OpaqueLane(bits), 200);
      EXPECT_EQ(OpaqueIsPlaced(bits), placed);
      EXPECT_EQ(OpaqueSequence(bits), sequence);
      EXPECT_EQ(OpaqueHeaderBytes(bits), HeaderBytes(SizeOfHeaders(5000)));
    }
  }
}

TEST(Opaque, CountsHeadersNeverForLessAndLittleForMore) {
  EXPECT_EQ(HeaderBytes(SizeOfHeaders(0)), 0);
  for (size_t bytes = 1; bytes < 3'000'000; bytes += 1 + bytes / 97) {
    const auto counted = static_cast<size_t>(HeaderBytes(SizeOfHeaders(bytes)));
    ASSERT_GE(counted, bytes);
    ASSERT_LE(counted, bytes + bytes / 3 + kSizeUnit);
  }
}

}  // namespace
}  // namespace mq::kafka
