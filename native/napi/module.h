// The parts of the addon: a file of native/bind/ declares one at file scope,
//   static const mq::ModulePart kPart(&InitThing);
// and the addon runs them all for every environment (main thread and each worker) that loads it.
#pragma once

#include <napi.h>

namespace mq {

class ModulePart {
 public:
  using Init = void (*)(Napi::Env env, Napi::Object exports);
  explicit ModulePart(Init init);
  ModulePart(const ModulePart&) = delete;
  ModulePart& operator=(const ModulePart&) = delete;

  static void InitAll(Napi::Env env, Napi::Object exports);

 private:
  Init init_;
  ModulePart* next_;
};

}  // namespace mq
