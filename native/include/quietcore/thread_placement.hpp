#pragma once

#include "quietcore/feed_config.hpp"

#include <optional>
#include <string>
#include <vector>

namespace quietcore {

/// The CPU a wish means: the plan's first feed CPU, the number, or none. Throws Error where the plan cannot
/// be read.
[[nodiscard]] std::optional<int> resolve_cpu(const CpuWish &wish, const std::string &plan_path);

/// The CPUs a wish means for what may share them: the plan's housekeeping set, the number, or none. Throws
/// Error.
[[nodiscard]] std::vector<int> resolve_shared_cpus(const CpuWish &wish, const std::string &plan_path);

/// Gives the calling thread back the CPUs that it had, so that what it starts next does not inherit a pinned
/// one.
class AffinityRestored {
public:
  AffinityRestored();
  AffinityRestored(const AffinityRestored &) = delete;
  AffinityRestored &operator=(const AffinityRestored &) = delete;
  ~AffinityRestored();

private:
  std::vector<int> cpus_;
};

/// Pins the calling thread to one CPU and reads the affinity back. Empty where it holds, else one line that
/// says why not and what to do.
[[nodiscard]] std::string pin_this_thread(int cpu);

} // namespace quietcore
