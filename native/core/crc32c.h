#pragma once

#include <cstddef>
#include <cstdint>

namespace mq {

/// CRC-32C (Castagnoli). `seed` is the CRC of what came before, so that
/// crc32c(b, crc32c(a)) == crc32c(a then b); 0 begins.
uint32_t crc32c(const uint8_t* data, size_t length, uint32_t seed = 0);

/// The same without the processor's instruction; for the tests.
uint32_t crc32c_table(const uint8_t* data, size_t length, uint32_t seed = 0);

}  // namespace mq
