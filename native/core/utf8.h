#pragma once

#include <cstddef>
#include <cstdint>

namespace mq {

/// Whether the bytes are well-formed UTF-8 (no overlong forms, no surrogates, at most U+10FFFF).
bool is_utf8(const uint8_t* text, size_t length);

}  // namespace mq
