#pragma once

#include <cstdint>
#include <string>

namespace quietcore {

/// Result of locking this process's memory.
struct MemoryLock {
  std::uint64_t locked_kib = 0; ///< VmLck as read back
  std::string warning{};        ///< why it is not locked and what to do; empty where it is
};

/// Keeps the heap from growing in small steps and touches room for what is still to come.
void prefault_heap_and_stack();

/// Locks what is mapped now (MCL_CURRENT) and reads VmLck back.
[[nodiscard]] MemoryLock lock_memory();

/// Page faults of the calling thread since it began.
struct PageFaults {
  std::uint64_t minor = 0;
  std::uint64_t major = 0;

  [[nodiscard]] static PageFaults of_this_thread() noexcept;
};

/// The warning for an error of mlockall: EPERM and ENOMEM have different remedies.
[[nodiscard]] std::string memory_lock_warning(int error, std::uint64_t limit_kib, std::uint64_t need_kib);

} // namespace quietcore
