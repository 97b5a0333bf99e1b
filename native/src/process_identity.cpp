#include "quietcore/process_identity.hpp"

#include <fstream>
#include <sstream>
#include <string>
#include <unistd.h>

namespace quietcore {

ProcessIdentity ProcessIdentity::current() {
  ProcessIdentity identity;
  identity.pid = static_cast<std::uint32_t>(getpid());
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  // The second field, the command, may hold spaces and brackets: count from its closing one.
  const std::size_t close = line.rfind(')');
  if (close == std::string::npos)
    return identity;
  std::istringstream rest(line.substr(close + 1));
  std::string word;
  for (int field = 3; field <= 22 && rest >> word; ++field) {
    if (field == 22)
      identity.start = std::stoull(word);
  }
  return identity;
}

} // namespace quietcore
