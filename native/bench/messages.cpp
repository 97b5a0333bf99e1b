#include "messages.hpp"

#include "quietcore/recording.hpp"

#include <map>

namespace quietcore::bench {

const Input &load_input(const std::string &path) {
  static std::map<std::string, Input> loaded;
  if (const auto at = loaded.find(path); at != loaded.end())
    return at->second;
  Input &input = loaded[path];
  input.venue = make_venue("bybit-linear");
  input.facts = scan_recording(*input.venue, path);
  std::vector<std::pair<std::size_t, std::size_t>> places;
  RecordingReader reader(path);
  RecordedLine line;
  while (reader.next(line)) {
    places.emplace_back(input.storage.size(), line.message.size());
    input.storage.append(line.message);
    input.storage.append(kMessagePadding, '\0');
  }
  for (const auto &[at, size] : places) {
    const std::string_view bytes = std::string_view(input.storage).substr(at, size);
    input.messages.push_back({bytes, bytes.find("\"type\":\"snapshot\"") != std::string_view::npos});
  }
  return input;
}

std::string decimal_text(std::int64_t digits, unsigned places) {
  std::string text = std::to_string(digits);
  if (places == 0)
    return text;
  if (text.size() <= places)
    text.insert(0, places + 1 - text.size(), '0');
  text.insert(text.size() - places, ".");
  return text;
}

} // namespace quietcore::bench
