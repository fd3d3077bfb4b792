// A setting of the allocator that messages on their way to Kafka need.
#pragma once

namespace mq::kafka {

/// Switches glibc's fastbins off, for the whole process (`mallopt`, once). A message is allocated on
/// a lane's thread and freed on the one that reads reports, so its parts pile up unmerged in
/// fastbins, and every larger allocation of the lane merges them all first. Does nothing with
/// another C library. Callable from any thread, any number of times.
void MergeFreedAtOnce();

}  // namespace mq::kafka
