// Keeps librdkafka from burning a processor while it waits for answers.
#pragma once

namespace mq::kafka {

/// A partition of an idempotent producer has one request on its way; with more messages waiting
/// behind it and no linger, librdkafka's broker thread asks "anything to read?" without a pause
/// until the answer comes: a whole processor, taken from the node and from whoever shares it.
///
/// From this call on such a question waits up to 200 µs for the answer itself. It ends at once
/// when something can be read, or when a message or an operation wakes the thread, so nothing is
/// later for it. The library is used as it was built; its reference to poll(2) is what is replaced,
/// for the whole process. Does nothing, for good, where that reference is not found (another
/// system than Linux, a library that is not shared). Callable from any thread, any number of times.
void MakePollPatient();

}  // namespace mq::kafka
