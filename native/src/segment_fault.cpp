#include "quietcore/segment_fault.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <sys/uio.h>
#include <unistd.h>

namespace quietcore {
namespace {

struct Watched {
  std::atomic<std::uintptr_t> begin{0}; ///< 0: free; stored last
  std::atomic<std::uint64_t> size{0};
  std::array<char, 160> path{};
};

std::array<Watched, 16> watched;
static_assert(std::atomic<std::uintptr_t>::is_always_lock_free);

iovec part(const char *text) noexcept { return {const_cast<char *>(text), std::strlen(text)}; }

/// Only what signal-safety(7) allows.
void on_fault(int number, siginfo_t *info, void *) {
  const auto at = reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (const Watched &segment : watched) {
    const std::uintptr_t begin = segment.begin.load(std::memory_order_acquire);
    if (begin == 0 || at < begin || at - begin >= segment.size.load(std::memory_order_relaxed))
      continue;
    const std::array<iovec, 3> line{
        part("quietcore-feed: ring cut short while in use: "), part(segment.path.data()),
        part("; found a file smaller than the ring, or no memory left for it (SIGBUS); remedy: leave the "
             "files in /dev/shm alone, and start again: a new ring is made\n")};
    (void)!writev(STDERR_FILENO, line.data(), static_cast<int>(line.size()));
    _exit(3);
  }
  // None of ours: as if there were no handler.
  (void)std::signal(number, SIG_DFL);
  (void)raise(number);
}

} // namespace

void SegmentFault::install() noexcept {
  struct sigaction action{};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, nullptr);
}

void SegmentFault::watch(const void *begin, std::uint64_t size, std::string_view path) noexcept {
  for (Watched &segment : watched) {
    std::uintptr_t free = 0;
    // Taken with a value that no mapping has, until the rest is written.
    if (!segment.begin.compare_exchange_strong(free, UINTPTR_MAX, std::memory_order_acq_rel))
      continue;
    segment.size.store(size, std::memory_order_relaxed);
    segment.path.fill('\0');
    std::copy_n(path.begin(), std::min(path.size(), segment.path.size() - 1), segment.path.begin());
    segment.begin.store(reinterpret_cast<std::uintptr_t>(begin), std::memory_order_release);
    return;
  }
}

void SegmentFault::forget(const void *begin) noexcept {
  for (Watched &segment : watched) {
    std::uintptr_t known = reinterpret_cast<std::uintptr_t>(begin);
    if (known != 0 && segment.begin.compare_exchange_strong(known, 0, std::memory_order_acq_rel))
      return;
  }
}

} // namespace quietcore
