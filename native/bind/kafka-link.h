// A way from native threads up to one JavaScript thread: a threadsafe function, rung at most once
// until it ran, and the promises that native threads settle.
//
// Rules: (1) Ring and Settle may be called from any thread until Close returned, and do nothing
// after it; (2) Close runs in the object's close() or in the environment's cleanup hook, before
// Node frees the threadsafe function; (3) promises are touched on the JavaScript thread only.
#pragma once

#include <napi.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace mq {

/// Makes the value of a settled promise, on its thread.
using MakeValue = std::function<napi_value(napi_env)>;

class KafkaLink {
 public:
  /// `on_ring` runs on the JavaScript thread. Null with a pending exception on failure.
  static std::shared_ptr<KafkaLink> Open(napi_env env, const char* name,
                                         std::function<void(napi_env)> on_ring);

  void Ring();
  /// JavaScript thread: a new promise. The loop is kept alive until it is settled.
  napi_value NewPromise(napi_env env, uint32_t* id);
  /// Any thread: settles it on the next ring, once; later ones are ignored.
  void Settle(uint32_t id, MakeValue value);
  void Fail(uint32_t id, int code, std::string text);
  /// JavaScript thread, at once.
  void SettleNow(napi_env env, uint32_t id, const MakeValue& value);
  /// JavaScript thread: rejects what is not settled yet.
  void FailAll(napi_env env, int code, const std::string& text);
  void Close();

 private:
  struct Settled {
    uint32_t id;
    bool failed;
    int code;
    std::string text;
    MakeValue value;
  };

  static void OnCall(napi_env env, napi_value, void* context, void*);
  void Run(napi_env env);
  void Add(Settled settled);
  void Finish(napi_env env, const Settled& settled);

  std::mutex lock_;
  napi_threadsafe_function function_ = nullptr;
  std::atomic<bool> pending_{false};
  std::vector<Settled> settled_;

  // JavaScript thread.
  std::function<void(napi_env)> on_ring_;
  std::unordered_map<uint32_t, napi_deferred> promises_;
  uint32_t next_id_ = 1;
};

/// An Error with `kafkaCode`.
napi_value KafkaFailure(napi_env env, int code, const std::string& text);

/// Calls a function of the user's; what it throws becomes an uncaught exception.
void CallUp(napi_env env, napi_value function, size_t argc, const napi_value* argv);

}  // namespace mq
