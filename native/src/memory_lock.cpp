#include "quietcore/memory_lock.hpp"

#include "quietcore/error.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <malloc.h>
#include <string_view>
#include <sys/mman.h>
#include <sys/resource.h>

namespace quietcore {
namespace {

constexpr std::size_t kHeap = std::size_t{16} << 20U;
constexpr std::size_t kStack = std::size_t{256} << 10U;
constexpr std::size_t kPage = 4096;

std::uint64_t status_kib(std::string_view name) {
  std::ifstream file("/proc/self/status");
  std::string word;
  while (file >> word) {
    if (word == name) {
      std::uint64_t value = 0;
      file >> value;
      return value;
    }
  }
  return 0;
}

[[gnu::noinline]] void touch_stack() {
  std::array<volatile char, kStack> room;
  for (std::size_t i = 0; i < room.size(); i += kPage)
    room[i] = 1;
}

} // namespace

void prefault_heap_and_stack() {
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
  mallopt(M_MMAP_THRESHOLD, 64 << 20);
  if (auto *room = static_cast<volatile char *>(std::malloc(kHeap)); room != nullptr) {
    for (std::size_t i = 0; i < kHeap; i += kPage)
      room[i] = 1;
    std::free(const_cast<char *>(room));
  }
  touch_stack();
}

std::string memory_lock_warning(int error, std::uint64_t limit_kib, std::uint64_t need_kib) {
  Finding finding{.what = "memory is not locked", .where = "mlockall", .found = std::strerror(error)};
  if (error == EPERM) {
    finding.expected = "the right to lock memory";
    finding.remedy = "give the service CAP_IPC_LOCK, or LimitMEMLOCK=infinity";
  } else if (error == ENOMEM) {
    finding.expected = std::to_string(need_kib) + " KiB within RLIMIT_MEMLOCK, which is " +
                       std::to_string(limit_kib) + " KiB";
    finding.remedy = "raise LimitMEMLOCK= (ulimit -l), or make the ring smaller";
  } else if (error == EAGAIN) {
    finding.remedy = "free memory: some of it could not be locked";
  }
  return finding.message();
}

MemoryLock lock_memory() {
  MemoryLock result;
  if (mlockall(MCL_CURRENT) != 0) {
    const int error = errno;
    rlimit limit{};
    (void)getrlimit(RLIMIT_MEMLOCK, &limit);
    result.warning = memory_lock_warning(error, limit.rlim_cur / 1024, status_kib("VmSize:"));
    return result;
  }
  result.locked_kib = status_kib("VmLck:");
  if (result.locked_kib == 0)
    result.warning =
        Finding{.what = "memory is not locked",
                .where = "/proc/self/status: VmLck",
                .found = "0 kB after mlockall",
                .remedy = "this kernel or container ignores mlockall: run on a host that does not"}
            .message();
  return result;
}

PageFaults PageFaults::of_this_thread() noexcept {
  rusage usage{};
  (void)getrusage(RUSAGE_THREAD, &usage);
  return {static_cast<std::uint64_t>(usage.ru_minflt), static_cast<std::uint64_t>(usage.ru_majflt)};
}

} // namespace quietcore
