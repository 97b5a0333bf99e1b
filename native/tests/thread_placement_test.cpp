#include "quietcore/thread_placement.hpp"

#include "quietcore/error.hpp"
#include "temporary_folder.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <thread>

namespace quietcore {
namespace {

TEST(ThreadPlacement, TheWishIsResolved) {
  const test::TemporaryFolder folder;
  const std::string plan =
      folder.write("plan.json", R"({"version":1,"sets":{"housekeeping":[0],"feed":[3,4]},"isolated":[3]})");
  EXPECT_EQ(resolve_cpu({}, plan), std::nullopt);
  EXPECT_EQ(resolve_cpu({CpuWish::Kind::Number, 2}, plan), 2);
  EXPECT_EQ(resolve_cpu({CpuWish::Kind::Plan, -1}, plan), 3);
}

TEST(ThreadPlacement, AnUnusablePlanIsRefused) {
  const test::TemporaryFolder folder;
  const CpuWish wish{CpuWish::Kind::Plan, -1};
  EXPECT_THROW((void)resolve_cpu(wish, folder.path() + "/absent.json"), Error);
  for (const char *text : {"", "{", "[]", R"({"version":2,"sets":{"feed":[1]}})", R"({"version":1})",
                           R"({"version":1,"sets":{"feed":[]}})", R"({"version":1,"sets":{"feed":["x"]}})",
                           R"({"version":1,"sets":{"feed":[-4]}})"}) {
    const std::string plan = folder.write("plan.json", text);
    EXPECT_THROW((void)resolve_cpu(wish, plan), Error) << text;
  }
}

TEST(ThreadPlacement, PinningIsReadBack) {
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  int cpu = 0;
  while (!CPU_ISSET(cpu, &allowed))
    ++cpu;
  std::string result = "not run";
  int ran_on = -1;
  std::thread([&] {
    result = pin_this_thread(cpu);
    ran_on = sched_getcpu();
  }).join();
  EXPECT_EQ(result, "");
  EXPECT_EQ(ran_on, cpu);
}

TEST(ThreadPlacement, AffinityIsGivenBack) {
  std::thread([] {
    cpu_set_t before;
    CPU_ZERO(&before);
    ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
    int cpu = 0;
    while (!CPU_ISSET(static_cast<std::size_t>(cpu), &before))
      ++cpu;
    {
      const AffinityRestored affinity;
      EXPECT_EQ(pin_this_thread(cpu), "");
    }
    cpu_set_t after;
    CPU_ZERO(&after);
    ASSERT_EQ(sched_getaffinity(0, sizeof(after), &after), 0);
    EXPECT_TRUE(CPU_EQUAL(&before, &after));
  }).join();
}

TEST(ThreadPlacement, WhatMayShareGetsTheHousekeepingSet) {
  const test::TemporaryFolder folder;
  const std::string plan =
      folder.write("plan.json", R"({"version": 1, "sets": {"housekeeping": [0, 1], "feed": [3]}})");
  EXPECT_EQ(resolve_shared_cpus({CpuWish::Kind::Plan, -1}, plan), (std::vector<int>{0, 1}));
  EXPECT_EQ(resolve_shared_cpus({CpuWish::Kind::Number, 7}, plan), std::vector<int>{7});
  EXPECT_TRUE(resolve_shared_cpus({}, plan).empty());
}

TEST(ThreadPlacement, ACpuThatIsNotThereIsSaid) {
  std::string result;
  std::thread([&] { result = pin_this_thread(CPU_SETSIZE - 1); }).join();
  EXPECT_NE(result.find("not pinned: CPU 1023"), std::string::npos) << result;
  EXPECT_NE(result.find("remedy"), std::string::npos) << result;
  EXPECT_NE(pin_this_thread(100'000).find("not pinned"), std::string::npos);
}

} // namespace
} // namespace quietcore
