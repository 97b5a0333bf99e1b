#include "quietcore/memory_lock.hpp"

#include <cerrno>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <vector>

namespace quietcore {
namespace {

TEST(MemoryLock, EachErrorHasItsRemedy) {
  const std::string denied = memory_lock_warning(EPERM, 0, 100);
  const std::string limited = memory_lock_warning(ENOMEM, 8192, 100'000);
  EXPECT_NE(denied.find("CAP_IPC_LOCK"), std::string::npos) << denied;
  EXPECT_NE(limited.find("8192 KiB"), std::string::npos) << limited;
  EXPECT_NE(limited.find("100000 KiB"), std::string::npos) << limited;
  EXPECT_NE(limited.find("LimitMEMLOCK"), std::string::npos) << limited;
  EXPECT_EQ(limited.find("CAP_IPC_LOCK"), std::string::npos) << limited;
}

TEST(MemoryLock, IsReadBack) {
  const MemoryLock lock = lock_memory();
  if (lock.warning.empty()) {
    EXPECT_GT(lock.locked_kib, 1000U);
  } else {
    EXPECT_EQ(lock.locked_kib, 0U);
  }
  munlockall();
}

TEST(PageFaults, AreCounted) {
  const PageFaults before = PageFaults::of_this_thread();
  constexpr std::size_t kSize = 64U << 20U;
  auto *room = static_cast<volatile char *>(
      mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  for (std::size_t i = 0; i < kSize; i += 4096)
    room[i] = 1;
  EXPECT_GT(PageFaults::of_this_thread().minor, before.minor);
  munmap(const_cast<char *>(room), kSize);
}

} // namespace
} // namespace quietcore
