#include "napi/module.h"

namespace mq {
namespace {

// Filled by static constructors when the library is loaded, read only from then on.
ModulePart* g_first = nullptr;

Napi::Object InitModule(Napi::Env env, Napi::Object exports) {
  ModulePart::InitAll(env, exports);
  return exports;
}

}  // namespace

ModulePart::ModulePart(Init init) : init_(init), next_(g_first) { g_first = this; }

void ModulePart::InitAll(Napi::Env env, Napi::Object exports) {
  for (const ModulePart* part = g_first; part != nullptr; part = part->next_) {
    part->init_(env, exports);
  }
}

NODE_API_MODULE(mq_native, InitModule)

}  // namespace mq
