// Time and threads.
#pragma once

#include <cstdint>

namespace mq::kafka {

/// Milliseconds of the steady clock.
int64_t SteadyMs();

/// Names the calling thread for `top -H` and `perf`; at most 15 characters.
void NameThread(const char* name);

/// Keeps this library mapped until the process ends. Node unloads an addon with the last thread
/// that loaded it, but native threads may still be collecting reports or destroying a producer.
void PinLibrary();

}  // namespace mq::kafka
