// Doorbell: wakes the event loop of the thread that made it, from any thread of the process.
//
// Rules: (1) the registry's lock is held while a bell is rung, and taken to close it, so nobody
// rings a bell that is gone; (2) an environment that ends closes its bells in a cleanup hook, which
// runs before Node frees the threadsafe function; (3) `pending` is cleared before the callback
// runs, so a ring during the callback is never lost.
#include <atomic>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <unordered_map>

#include "napi/args.h"
#include "napi/module.h"

namespace mq {
namespace {

struct Bell {
  napi_threadsafe_function function = nullptr;
  std::atomic<bool> pending{false};
};

struct Registry {
  std::shared_mutex lock;
  std::unordered_map<uint32_t, std::shared_ptr<Bell>> bells;
  uint32_t next_id = 1;
};

// Never destroyed: a thread may still ring while the process ends.
Registry& TheRegistry() {
  static auto* registry = new Registry();
  return *registry;
}

void Ring(uint32_t id) {
  Registry& registry = TheRegistry();
  std::shared_lock<std::shared_mutex> guard(registry.lock);
  auto found = registry.bells.find(id);
  if (found == registry.bells.end()) return;
  Bell& bell = *found->second;
  if (bell.pending.exchange(true, std::memory_order_acq_rel)) return;
  napi_call_threadsafe_function(bell.function, nullptr, napi_tsfn_nonblocking);
}

/// Takes the bell out of the registry and gives its threadsafe function back; once.
void CloseBell(uint32_t id) {
  std::shared_ptr<Bell> bell;
  {
    Registry& registry = TheRegistry();
    std::unique_lock<std::shared_mutex> guard(registry.lock);
    auto found = registry.bells.find(id);
    if (found == registry.bells.end()) return;
    bell = std::move(found->second);
    registry.bells.erase(found);
  }
  napi_release_threadsafe_function(bell->function, napi_tsfn_abort);
}

void CloseAtEnd(void* id) { CloseBell(static_cast<uint32_t>(reinterpret_cast<uintptr_t>(id))); }

void OnRing(napi_env env, napi_value callback, void* context, void*) {
  if (env == nullptr || callback == nullptr) return;
  auto* bell = static_cast<std::shared_ptr<Bell>*>(context);
  (*bell)->pending.store(false, std::memory_order_release);
  napi_value receiver = nullptr;
  napi_get_undefined(env, &receiver);
  if (napi_call_function(env, receiver, callback, 0, nullptr, nullptr) == napi_pending_exception) {
    napi_value error = nullptr;
    napi_get_and_clear_last_exception(env, &error);
    napi_fatal_exception(env, error);
  }
}

void OnFinal(napi_env, void*, void* context) {
  delete static_cast<std::shared_ptr<Bell>*>(context);
}

class Doorbell : public Napi::ObjectWrap<Doorbell> {
 public:
  static void Init(Napi::Env env, Napi::Object exports) {
    exports.Set("Doorbell", DefineClass(env, "Doorbell",
                                        {
                                            InstanceAccessor<&Doorbell::Id>("id"),
                                            InstanceMethod<&Doorbell::Close>("close"),
                                            InstanceMethod<&Doorbell::RefLoop>("ref"),
                                            InstanceMethod<&Doorbell::UnrefLoop>("unref"),
                                        }));
    exports.Set("ringDoorbell", Napi::Function::New(env, RingFromJs, "ringDoorbell"));
  }

  explicit Doorbell(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Doorbell>(info) {
    Napi::Env env = info.Env();
    if (info.Length() < 1 || !info[0].IsFunction()) {
      Napi::TypeError::New(env, "callback must be a function").ThrowAsJavaScriptException();
      return;
    }
    auto bell = std::make_shared<Bell>();
    auto* context = new std::shared_ptr<Bell>(bell);
    napi_status status = napi_create_threadsafe_function(
        env, info[0], nullptr, Napi::String::New(env, "mq.doorbell"), 0, 1, nullptr, OnFinal,
        context, OnRing, &bell->function);
    if (status != napi_ok) {
      delete context;
      Napi::Error::New(env, "the doorbell could not be made").ThrowAsJavaScriptException();
      return;
    }
    napi_unref_threadsafe_function(env, bell->function);
    function_ = bell->function;
    Registry& registry = TheRegistry();
    {
      std::unique_lock<std::shared_mutex> guard(registry.lock);
      id_ = registry.next_id++;
      registry.bells.emplace(id_, std::move(bell));
    }
    napi_add_env_cleanup_hook(env, CloseAtEnd, HookArgument());
    // A bell whose object nobody holds still rings, until close() or the end of its thread.
    Ref();
  }

 private:
  void* HookArgument() const { return reinterpret_cast<void*>(static_cast<uintptr_t>(id_)); }

  static Napi::Value RingFromJs(const Napi::CallbackInfo& info) {
    uint32_t id = 0;
    if (napi_get_value_uint32(info.Env(), info[0], &id) != napi_ok) {
      Napi::TypeError::New(info.Env(), "id must be a number").ThrowAsJavaScriptException();
      return Napi::Value();
    }
    Ring(id);
    return info.Env().Undefined();
  }

  Napi::Value Id(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), id_); }

  void Close(const Napi::CallbackInfo& info) {
    if (closed_) return;
    closed_ = true;
    napi_remove_env_cleanup_hook(info.Env(), CloseAtEnd, HookArgument());
    CloseBell(id_);
    Unref();
  }

  void RefLoop(const Napi::CallbackInfo& info) {
    if (!closed_) napi_ref_threadsafe_function(info.Env(), function_);
  }

  void UnrefLoop(const Napi::CallbackInfo& info) {
    if (!closed_) napi_unref_threadsafe_function(info.Env(), function_);
  }

  uint32_t id_ = 0;
  bool closed_ = false;
  napi_threadsafe_function function_ = nullptr;
};

const ModulePart kPart(&Doorbell::Init);

}  // namespace
}  // namespace mq
