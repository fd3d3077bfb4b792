#include "core/crc32c.h"

#include <array>

#include "core/bytes.h"

#if defined(__aarch64__) && defined(__linux__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace mq {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // reflected Castagnoli

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? kPolynomial : 0);
    table[i] = crc;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kTable = make_table();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t crc32c_hardware(const uint8_t* p, size_t n,
                                                           uint32_t seed) {
  uint64_t crc = ~seed;
  for (; n >= 8; p += 8, n -= 8) crc = _mm_crc32_u64(crc, load<uint64_t>(p));
  auto narrow = static_cast<uint32_t>(crc);
  for (; n > 0; ++p, --n) narrow = _mm_crc32_u8(narrow, *p);
  return ~narrow;
}
bool has_hardware() { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__aarch64__) && defined(__linux__)
__attribute__((target("+crc"))) uint32_t crc32c_hardware(const uint8_t* p, size_t n,
                                                         uint32_t seed) {
  uint32_t crc = ~seed;
  for (; n >= 8; p += 8, n -= 8) crc = __crc32cd(crc, load<uint64_t>(p));
  for (; n > 0; ++p, --n) crc = __crc32cb(crc, *p);
  return ~crc;
}
bool has_hardware() { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
#else
uint32_t crc32c_hardware(const uint8_t* p, size_t n, uint32_t seed) {
  return crc32c_table(p, n, seed);
}
bool has_hardware() { return false; }
#endif

const bool kHardware = has_hardware();

}  // namespace

uint32_t crc32c_table(const uint8_t* data, size_t length, uint32_t seed) {
  uint32_t crc = ~seed;
  for (size_t i = 0; i < length; ++i) crc = (crc >> 8) ^ kTable[(crc ^ data[i]) & 0xff];
  return ~crc;
}

uint32_t crc32c(const uint8_t* data, size_t length, uint32_t seed) {
  return kHardware ? crc32c_hardware(data, length, seed) : crc32c_table(data, length, seed);
}

}  // namespace mq
