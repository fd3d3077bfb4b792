// giveBackMemory: what the allocator keeps of freed memory goes back to the system.
#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "napi/module.h"

namespace mq {
namespace {

/// glibc gives back only the end of an arena by itself, and what was freed below it stays resident:
/// a node that made a large index anew kept a gigabyte. Each arena is locked while it is walked, so
/// this is done on a thread that nobody waits for.
class Trim final : public Napi::AsyncWorker {
 public:
  explicit Trim(Napi::Env env) : Napi::AsyncWorker(env), deferred_(env) {}
  Napi::Promise Promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
  }
  void OnOK() override { deferred_.Resolve(Env().Undefined()); }

 private:
  Napi::Promise::Deferred deferred_;
};

Napi::Value GiveBackMemory(const Napi::CallbackInfo& info) {
  auto* trim = new Trim(info.Env());
  Napi::Promise promise = trim->Promise();
  trim->Queue();
  return promise;
}

void Init(Napi::Env env, Napi::Object exports) {
  exports.Set("giveBackMemory", Napi::Function::New(env, GiveBackMemory, "giveBackMemory"));
}

const ModulePart kPart(&Init);

}  // namespace
}  // namespace mq
