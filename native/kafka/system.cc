#include "kafka/system.h"

#include <dlfcn.h>
#include <pthread.h>

#include <chrono>

namespace mq::kafka {

int64_t SteadyMs() {
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  using std::chrono::steady_clock;
  return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

void NameThread(const char* name) {
#ifdef __APPLE__
  pthread_setname_np(name);
#else
  pthread_setname_np(pthread_self(), name);
#endif
}

void PinLibrary() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&PinLibrary), &info) == 0) return;
  // The handle is never closed, and NODELETE says so.
  dlopen(info.dli_fname, RTLD_LAZY | RTLD_NODELETE);
}

}  // namespace mq::kafka
