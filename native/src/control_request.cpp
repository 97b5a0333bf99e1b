#include "quietcore/control_request.hpp"

#include "quietcore/error.hpp"
#include "quietcore/printable_text.hpp"
#include "quietcore/url.hpp"

#include <algorithm>
#include <array>

namespace quietcore {

ControlRequest ControlRequest::parse(std::string_view line) {
  if (line.ends_with('\r'))
    line.remove_suffix(1);
  // One more than there may be, so that a word too many is seen.
  std::array<std::string_view, 5> words{};
  std::size_t count = 0;
  while (count < words.size()) {
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    if (line.empty())
      break;
    const std::size_t end = std::min(line.find_first_of(" \t"), line.size());
    words[count++] = line.substr(0, end);
    line.remove_prefix(end);
  }
  const auto refuse = [](const char *what, std::string_view found, const char *expected) {
    return Error({.what = what, .found = "\"" + printable_text(found, 40) + "\"", .expected = expected});
  };
  ControlRequest request;
  if (words[0] == "status") {
    if (count > 1)
      throw refuse("a word too many", words[1], "status alone");
    return request;
  }
  if (words[0] != "switch")
    throw refuse("unknown request", words[0], "status or switch");
  request.kind = Kind::Switch;
  if (words[1] != "a" && words[1] != "b")
    throw refuse("leg not known", words[1], "a or b");
  if (count > 4)
    throw refuse("a word too many", words[4], "switch a|b WEBSOCKET [REST]");
  request.leg = words[1] == "b" ? 1 : 0;
  request.endpoint.websocket = words[2];
  request.endpoint.rest = words[3];
  (void)Url::parse(words[2], "ws", "switch");
  if (!words[3].empty())
    (void)Url::parse(words[3], "http", "switch");
  return request;
}

} // namespace quietcore
