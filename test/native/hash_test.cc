#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "core/crc32c.h"
#include "core/murmur2.h"
#include "core/utf8.h"

namespace {

const uint8_t* bytes(const std::string& text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

// RFC 3720, B.4.
TEST(Crc32c, GivesTheExamplesOfRfc3720) {
  std::vector<uint8_t> data(32, 0);
  EXPECT_EQ(mq::crc32c(data.data(), 32), 0x8a9136aau);
  std::fill(data.begin(), data.end(), 0xff);
  EXPECT_EQ(mq::crc32c(data.data(), 32), 0x62a8ab43u);
  std::iota(data.begin(), data.end(), 0);
  EXPECT_EQ(mq::crc32c(data.data(), 32), 0x46dd794eu);
}

TEST(Crc32c, HardwareAndTableAgreeAtEveryLengthAndAlignment) {
  std::vector<uint8_t> data(96);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<uint8_t>(i * 37 + 11);
  for (size_t start = 0; start < 9; ++start) {
    for (size_t length = 0; start + length <= data.size(); ++length) {
      const uint8_t* p = data.data() + start;
      ASSERT_EQ(mq::crc32c(p, length, 77), mq::crc32c_table(p, length, 77));
    }
  }
}

TEST(Murmur2, GivesTheCasesOfKafkasJavaClient) {
  const std::pair<const char*, int32_t> cases[] = {
      {"21", -973932308},
      {"foobar", -790332482},
      {"a-little-bit-long-string", -985981536},
      {"a-little-bit-longer-string", -1486304829},
      {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
      {"abc", 479470107},
  };
  for (const auto& [text, hash] : cases) {
    const std::string key(text);
    EXPECT_EQ(static_cast<int32_t>(mq::murmur2(bytes(key), key.size())), hash) << text;
  }
}

TEST(Utf8, TakesWhatIsWellFormedAndNothingElse) {
  const std::string good[] = {"", "name", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                              "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
  const std::string bad[] = {"\x80",         "\xc0\x80",         "\xc1\xbf",     "\xc2",
                             "\xe0\x9f\xbf", "\xed\xa0\x80",     "\xe1\x80",     "\xf0\x8f\xbf\xbf",
                             "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "a\xff",    "\xe1\x80\x41"};
  for (const std::string& text : good) EXPECT_TRUE(mq::is_utf8(bytes(text), text.size()));
  for (const std::string& text : bad) EXPECT_FALSE(mq::is_utf8(bytes(text), text.size()));
}

}  // namespace
