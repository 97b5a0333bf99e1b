#include "quietcore/url.hpp"

#include "quietcore/error.hpp"
#include "quietcore/printable_text.hpp"

#include <algorithm>
#include <charconv>

namespace quietcore {

std::string Url::authority() const {
  const std::string name = host.find(':') != std::string::npos ? "[" + host + "]" : host;
  const bool usual = port == (tls() ? "443" : "80");
  return usual ? name : name + ":" + port;
}

std::string Url::text() const { return scheme + "://" + authority() + path; }

Url Url::parse(std::string_view text, std::string_view plain, const std::string &where) {
  const auto refuse = [&] {
    return Error(
        {.what = "address not usable",
         .where = where,
         .found = "\"" + printable_text(text) + "\"",
         .expected = std::string(plain) + "://HOST[:PORT] or " + std::string(plain) + "s://HOST[:PORT]"});
  };
  // A line feed would end the request line that it becomes part of.
  if (std::any_of(text.begin(), text.end(), [](char c) { return c <= ' ' || c > '~'; }))
    throw refuse();
  Url url;
  const std::size_t colon = text.find("://");
  if (colon == std::string_view::npos)
    throw refuse();
  url.scheme = text.substr(0, colon);
  if (url.scheme != plain && url.scheme != std::string(plain) + "s")
    throw refuse();
  std::string_view rest = text.substr(colon + 3);
  if (const std::size_t slash = rest.find('/'); slash != std::string_view::npos) {
    url.path = rest.substr(slash);
    rest = rest.substr(0, slash);
    while (url.path.ends_with('/'))
      url.path.pop_back();
  }
  std::string_view port;
  if (rest.starts_with('[')) {
    const std::size_t close = rest.find(']');
    if (close == std::string_view::npos)
      throw refuse();
    url.host = rest.substr(1, close - 1);
    port = rest.substr(close + 1);
  } else {
    const std::size_t at = rest.find(':');
    url.host = rest.substr(0, at);
    port = at == std::string_view::npos ? std::string_view{} : rest.substr(at);
  }
  unsigned number = url.tls() ? 443 : 80;
  if (!port.empty()) {
    const char *end = port.data() + port.size();
    const auto [stop, error] = std::from_chars(port.data() + 1, end, number);
    if (port.front() != ':' || error != std::errc() || stop != end || number == 0 || number > 65535)
      throw refuse();
  }
  if (url.host.empty() || url.host.find_first_of("@?#") != std::string::npos ||
      url.path.find_first_of("?#") != std::string::npos)
    throw refuse();
  url.port = std::to_string(number);
  return url;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
        c == '.' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4U];
      out += kHex[byte & 15U];
    }
  }
  return out;
}

} // namespace quietcore
