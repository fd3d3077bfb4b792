#include <gtest/gtest.h>

#include "core/fetch-credit.h"

namespace {

TEST(FetchCredit, IsClosedUntilBytesAreWantedAndAfterTheyAreSpent) {
  mq::FetchCredit credit;
  EXPECT_FALSE(credit.open());
  credit.want(1000);
  EXPECT_TRUE(credit.open());
  credit.spend(1100, 11);
  EXPECT_FALSE(credit.open());
  EXPECT_EQ(credit.left(), -100);
  credit.want(100);
  EXPECT_FALSE(credit.open());
  credit.want(1);
  EXPECT_TRUE(credit.open());
  credit.reset();
  EXPECT_FALSE(credit.open());
}

TEST(FetchCredit, AsksForAsManyRecordsAsTheLastOnesSay) {
  mq::FetchCredit credit;
  credit.want(10'000);
  EXPECT_EQ(credit.records(500), 500u);
  credit.spend(2'000, 20);
  EXPECT_EQ(credit.records(500), 81u);
  credit.spend(7'950, 1);
  EXPECT_EQ(credit.records(500), 1u);
}

}  // namespace
