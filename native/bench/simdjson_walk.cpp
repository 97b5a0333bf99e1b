// The limit: the least that simdjson must do to see every price and size.
#include "cases.hpp"
#include "messages.hpp"

#include <simdjson.h>

namespace quietcore::bench {

Outcome simdjson_walk(const std::string &input, double seconds) {
  const Input &in = load_input(input);
  simdjson::ondemand::parser parser;
  std::size_t length = 0;
  Outcome out = run_for(seconds, [&] {
    for (const InputMessage &message : in.messages) {
      const std::string_view bytes = message.bytes;
      auto document = parser.iterate(bytes.data(), bytes.size(), bytes.size() + simdjson::SIMDJSON_PADDING);
      auto data = document.get_object()["data"].get_object();
      for (const char *side : {"b", "a"}) {
        for (auto row : data[std::string_view(side)].get_array()) {
          for (auto cell : row.get_array()) {
            const std::string_view text = cell.get_string();
            length += text.size();
          }
        }
      }
    }
    return in.messages.size();
  });
  out.more["checksum"] = static_cast<double>(length & 0xffff);
  return out;
}

} // namespace quietcore::bench
