#include "bind/kafka-link.h"

namespace mq {

std::shared_ptr<KafkaLink> KafkaLink::Open(napi_env env, const char* name,
                                           std::function<void(napi_env)> on_ring) {
  auto link = std::make_shared<KafkaLink>();
  link->on_ring_ = std::move(on_ring);
  auto* context = new std::shared_ptr<KafkaLink>(link);
  napi_value resource = nullptr;
  napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &resource);
  const napi_status status = napi_create_threadsafe_function(
      env, nullptr, nullptr, resource, 0, 1, nullptr,
      [](napi_env, void*, void* held) { delete static_cast<std::shared_ptr<KafkaLink>*>(held); },
      context, OnCall, &link->function_);
  if (status != napi_ok) {
    delete context;
    napi_throw_error(env, nullptr, "the threadsafe function could not be made");
    return nullptr;
  }
  napi_unref_threadsafe_function(env, link->function_);
  return link;
}

void KafkaLink::Ring() {
  std::lock_guard<std::mutex> guard(lock_);
  if (function_ == nullptr || pending_.exchange(true)) return;
  napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking);
}

void KafkaLink::OnCall(napi_env env, napi_value, void* context, void*) {
  if (env == nullptr) return;
  const std::shared_ptr<KafkaLink> link = *static_cast<std::shared_ptr<KafkaLink>*>(context);
  link->Run(env);
}

void KafkaLink::Run(napi_env env) {
  pending_.store(false);
  std::vector<Settled> settled;
  {
    std::lock_guard<std::mutex> guard(lock_);
    if (function_ == nullptr) return;
    settled.swap(settled_);
  }
  // First what arrived before the promises were settled.
  on_ring_(env);
  for (const Settled& one : settled) Finish(env, one);
}

napi_value KafkaLink::NewPromise(napi_env env, uint32_t* id) {
  napi_deferred deferred = nullptr;
  napi_value promise = nullptr;
  napi_create_promise(env, &deferred, &promise);
  *id = next_id_++;
  promises_.emplace(*id, deferred);
  std::lock_guard<std::mutex> guard(lock_);
  if (function_ != nullptr && promises_.size() == 1) napi_ref_threadsafe_function(env, function_);
  return promise;
}

void KafkaLink::Finish(napi_env env, const Settled& settled) {
  auto found = promises_.find(settled.id);
  if (found == promises_.end()) return;
  napi_deferred deferred = found->second;
  promises_.erase(found);
  napi_handle_scope scope = nullptr;
  napi_open_handle_scope(env, &scope);
  if (settled.failed) {
    napi_reject_deferred(env, deferred, KafkaFailure(env, settled.code, settled.text));
  } else {
    napi_value value = nullptr;
    if (settled.value) value = settled.value(env);
    if (value == nullptr) napi_get_undefined(env, &value);
    napi_resolve_deferred(env, deferred, value);
  }
  napi_close_handle_scope(env, scope);
  std::lock_guard<std::mutex> guard(lock_);
  if (function_ != nullptr && promises_.empty()) napi_unref_threadsafe_function(env, function_);
}

void KafkaLink::Add(Settled settled) {
  {
    std::lock_guard<std::mutex> guard(lock_);
    settled_.push_back(std::move(settled));
  }
  Ring();
}

void KafkaLink::Settle(uint32_t id, MakeValue value) { Add({id, false, 0, "", std::move(value)}); }

void KafkaLink::Fail(uint32_t id, int code, std::string text) {
  Add({id, true, code, std::move(text), {}});
}

void KafkaLink::SettleNow(napi_env env, uint32_t id, const MakeValue& value) {
  Finish(env, {id, false, 0, "", value});
}

void KafkaLink::FailAll(napi_env env, int code, const std::string& text) {
  while (!promises_.empty()) Finish(env, {promises_.begin()->first, true, code, text, {}});
}

void KafkaLink::Close() {
  napi_threadsafe_function function = nullptr;
  {
    std::lock_guard<std::mutex> guard(lock_);
    function = function_;
    function_ = nullptr;
  }
  if (function != nullptr) napi_release_threadsafe_function(function, napi_tsfn_abort);
}

napi_value KafkaFailure(napi_env env, int code, const std::string& text) {
  napi_value message = nullptr;
  napi_value number = nullptr;
  napi_value error = nullptr;
  napi_create_string_utf8(env, text.c_str(), text.size(), &message);
  napi_create_int32(env, code, &number);
  napi_create_error(env, nullptr, message, &error);
  napi_set_named_property(env, error, "kafkaCode", number);
  return error;
}

void CallUp(napi_env env, napi_value function, size_t argc, const napi_value* argv) {
  napi_value receiver = nullptr;
  napi_get_undefined(env, &receiver);
  if (napi_call_function(env, receiver, function, argc, argv, nullptr) == napi_pending_exception) {
    napi_value error = nullptr;
    napi_get_and_clear_last_exception(env, &error);
    napi_fatal_exception(env, error);
  }
}

}  // namespace mq
