#include "quietcore/thread_placement.hpp"

#include "quietcore/error.hpp"

#include <cerrno>
#include <cstring>
#include <sched.h>
#include <simdjson.h>

namespace quietcore {

namespace {

/// The CPUs of one of the plan's sets, at least one. Throws Error.
std::vector<int> set_of_plan(const std::string &plan_path, const char *set) {
  const auto refuse = [&](const std::string &found) {
    return Error({.what = "the core plan cannot be used",
                  .where = plan_path,
                  .found = found,
                  .expected = std::string("a version 1 plan whose sets.") + set + " names a CPU",
                  .remedy = "run `quietcore plan`, or set cpu to a number or -1"});
  };
  simdjson::dom::parser parser;
  simdjson::dom::element plan;
  if (const auto error = parser.load(plan_path).get(plan))
    throw refuse(simdjson::error_message(error));
  std::int64_t version = 0;
  if (plan["version"].get(version) != simdjson::SUCCESS || version != 1)
    throw refuse("version " + std::to_string(version));
  simdjson::dom::array list;
  if (plan["sets"][set].get(list) != simdjson::SUCCESS || list.size() == 0)
    throw refuse(std::string("no sets.") + set);
  std::vector<int> cpus;
  for (const simdjson::dom::element item : list) {
    std::int64_t cpu = -1;
    if (item.get(cpu) != simdjson::SUCCESS || cpu < 0 || cpu > 4095)
      throw refuse(std::string("no CPU number in sets.") + set);
    cpus.push_back(static_cast<int>(cpu));
  }
  return cpus;
}

} // namespace

std::optional<int> resolve_cpu(const CpuWish &wish, const std::string &plan_path) {
  if (wish.kind == CpuWish::Kind::Unpinned)
    return std::nullopt;
  if (wish.kind == CpuWish::Kind::Number)
    return wish.number;
  return set_of_plan(plan_path, "feed").front();
}

std::vector<int> resolve_shared_cpus(const CpuWish &wish, const std::string &plan_path) {
  if (wish.kind == CpuWish::Kind::Unpinned)
    return {};
  if (wish.kind == CpuWish::Kind::Number)
    return {wish.number};
  return set_of_plan(plan_path, "housekeeping");
}

AffinityRestored::AffinityRestored() {
  cpu_set_t had;
  CPU_ZERO(&had);
  if (sched_getaffinity(0, sizeof(had), &had) != 0)
    return;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &had))
      cpus_.push_back(cpu);
  }
}

AffinityRestored::~AffinityRestored() {
  if (cpus_.empty())
    return;
  cpu_set_t had;
  CPU_ZERO(&had);
  for (const int cpu : cpus_)
    CPU_SET(static_cast<std::size_t>(cpu), &had);
  (void)sched_setaffinity(0, sizeof(had), &had);
}

std::string pin_this_thread(int cpu) {
  const auto failed = [&](const std::string &found, const std::string &remedy) {
    return Finding{.what = "not pinned",
                   .where = "CPU " + std::to_string(cpu),
                   .found = found,
                   .expected = "a CPU this process may use",
                   .remedy = remedy}
        .message();
  };
  if (cpu >= CPU_SETSIZE)
    return failed("a number beyond " + std::to_string(CPU_SETSIZE - 1), "correct cpu or the core plan");
  cpu_set_t wanted;
  CPU_ZERO(&wanted);
  CPU_SET(cpu, &wanted);
  if (sched_setaffinity(0, sizeof(wanted), &wanted) != 0) {
    const int error = errno;
    return failed(std::strerror(error),
                  error == EINVAL ? "correct cpu or the core plan: the CPU is offline, absent or outside the "
                                    "service's allowed CPUs (AllowedCPUs=)"
                                  : "allow sched_setaffinity to the service");
  }
  cpu_set_t got;
  CPU_ZERO(&got);
  if (sched_getaffinity(0, sizeof(got), &got) != 0 || !CPU_EQUAL(&got, &wanted))
    return failed("another affinity when read back", "look for a cpuset that narrows this service's CPUs");
  return {};
}

} // namespace quietcore
