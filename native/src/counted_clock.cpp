#include "quietcore/counted_clock.hpp"

#include <fstream>
#include <sstream>
#include <string>

namespace quietcore {

namespace {

bool look() {
#if defined(__x86_64__)
  std::string source;
  std::ifstream("/sys/devices/system/clocksource/clocksource0/current_clocksource") >> source;
  if (source != "tsc")
    return false;
  std::ifstream cpus("/proc/cpuinfo");
  for (std::string line; std::getline(cpus, line);) {
    if (!line.starts_with("flags"))
      continue;
    bool constant = false;
    bool nonstop = false;
    std::istringstream flags(line);
    for (std::string flag; flags >> flag;) {
      constant = constant || flag == "constant_tsc";
      nonstop = nonstop || flag == "nonstop_tsc";
    }
    return constant && nonstop;
  }
#endif
  return false;
}

} // namespace

bool counter_is_trusted() {
  static const bool trusted = look();
  return trusted;
}

} // namespace quietcore
