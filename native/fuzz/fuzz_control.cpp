// Lines of the control socket: a request whose addresses can be used, or a refusal in one short line.
#include "quietcore/control_request.hpp"
#include "quietcore/error.hpp"

#include <cstdlib>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  using namespace quietcore;
  try {
    const ControlRequest request = ControlRequest::parse({reinterpret_cast<const char *>(data), size});
    for (const char c : request.endpoint.websocket + request.endpoint.rest) {
      if (c <= ' ' || c > '~')
        std::abort();
    }
    if (request.kind == ControlRequest::Kind::Switch &&
        (request.leg > 1 || request.endpoint.websocket.empty()))
      std::abort();
  } catch (const Error &error) {
    const std::string words = error.what();
    if (words.size() > 600 || words.find('\n') != std::string::npos)
      std::abort();
  }
  return 0;
}
