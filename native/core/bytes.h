// Unaligned loads and stores of both byte orders.
#pragma once

#include <cstdint>
#include <cstring>

namespace mq {

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
inline uint16_t le16(uint16_t v) { return v; }
inline uint32_t le32(uint32_t v) { return v; }
inline uint64_t le64(uint64_t v) { return v; }
inline uint16_t be16(uint16_t v) { return __builtin_bswap16(v); }
inline uint32_t be32(uint32_t v) { return __builtin_bswap32(v); }
inline uint64_t be64(uint64_t v) { return __builtin_bswap64(v); }
#else
inline uint16_t le16(uint16_t v) { return __builtin_bswap16(v); }
inline uint32_t le32(uint32_t v) { return __builtin_bswap32(v); }
inline uint64_t le64(uint64_t v) { return __builtin_bswap64(v); }
inline uint16_t be16(uint16_t v) { return v; }
inline uint32_t be32(uint32_t v) { return v; }
inline uint64_t be64(uint64_t v) { return v; }
#endif

template <typename T>
inline T load(const uint8_t* p) {
  T v;
  memcpy(&v, p, sizeof(T));
  return v;
}

template <typename T>
inline void store(uint8_t* p, T v) {
  memcpy(p, &v, sizeof(T));
}

inline uint16_t load_be16(const uint8_t* p) { return be16(load<uint16_t>(p)); }
inline uint32_t load_be32(const uint8_t* p) { return be32(load<uint32_t>(p)); }
inline uint64_t load_be64(const uint8_t* p) { return be64(load<uint64_t>(p)); }
inline uint32_t load_le32(const uint8_t* p) { return le32(load<uint32_t>(p)); }
inline uint64_t load_be48(const uint8_t* p) {
  return (static_cast<uint64_t>(load_be16(p)) << 32) | load_be32(p + 2);
}

inline void store_be16(uint8_t* p, uint16_t v) { store(p, be16(v)); }
inline void store_be32(uint8_t* p, uint32_t v) { store(p, be32(v)); }
inline void store_be64(uint8_t* p, uint64_t v) { store(p, be64(v)); }
inline void store_be48(uint8_t* p, uint64_t v) {
  store_be16(p, static_cast<uint16_t>(v >> 32));
  store_be32(p + 2, static_cast<uint32_t>(v));
}
inline void store_le16(uint8_t* p, uint16_t v) { store(p, le16(v)); }
inline void store_le32(uint8_t* p, uint32_t v) { store(p, le32(v)); }

}  // namespace mq
