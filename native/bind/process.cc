// endProcess: the process ends with its threads where they are.
#include <unistd.h>

#include "napi/args.h"
#include "napi/module.h"

namespace mq {
namespace {

/// Node's own exit joins workers and the thread pool, so one call of a disk that hangs keeps the
/// process; and a signal to itself does nothing to the first process of a container.
void EndProcess(const Napi::CallbackInfo& info) {
  uint64_t code = 0;
  if (!ReadIndex(info.Env(), info[0], "code", &code)) return;
  _exit(static_cast<int>(code));
}

void Init(Napi::Env env, Napi::Object exports) {
  exports.Set("endProcess", Napi::Function::New(env, EndProcess, "endProcess"));
}

const ModulePart kPart(&Init);

}  // namespace
}  // namespace mq
