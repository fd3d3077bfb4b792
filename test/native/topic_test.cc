#include <gtest/gtest.h>

#include "kafka/topic.h"

using mq::kafka::PartitionSlot;

TEST(PartitionSlot, TellsOfRoomOnceWhenItWasFull) {
  PartitionSlot slot;
  slot.bytes = 100;
  EXPECT_FALSE(slot.Release(60, 50)) << "nobody waits";
  slot.bytes = 100;
  slot.full = true;
  EXPECT_FALSE(slot.Release(40, 50)) << "too much is left";
  EXPECT_TRUE(slot.Release(10, 50));
  EXPECT_FALSE(slot.Release(10, 50)) << "they were told";
}

TEST(PartitionSlot, TakingAReservationBackTellsThoseWhoMetIt) {
  PartitionSlot slot;
  slot.bytes.fetch_add(80);  // of one whose message the queue did not take
  slot.full = true;          // of one who found no room beside it
  EXPECT_TRUE(slot.Release(80, 50));
  EXPECT_EQ(slot.bytes.load(), 0);
}
