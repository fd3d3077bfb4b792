#include <gtest/gtest.h>

#ifdef MQ_GTEST_SOURCE
#include "src/gtest-all.cc"
#endif

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
