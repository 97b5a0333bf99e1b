#pragma once

#include <array>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace quietcore {

/// Writes one JSON document, members in the order of the calls.
class JsonWriter {
public:
  JsonWriter &open(char bracket = '{') {
    separate();
    out_ += bracket;
    first_ = true;
    return *this;
  }
  JsonWriter &close(char bracket = '}') {
    out_ += bracket;
    first_ = false;
    return *this;
  }
  JsonWriter &key(std::string_view name) {
    separate();
    quote(name);
    out_ += ": ";
    after_key_ = true;
    return *this;
  }
  JsonWriter &value(std::string_view text) {
    separate();
    quote(text);
    return *this;
  }
  JsonWriter &value(const char *text) { return value(std::string_view(text)); }
  JsonWriter &value(bool truth) {
    separate();
    out_ += truth ? "true" : "false";
    return *this;
  }
  template <std::integral Number> JsonWriter &value(Number number) {
    separate();
    out_ += std::to_string(number);
    return *this;
  }
  /// The shortest text that reads back as the same number, which is finite.
  template <std::floating_point Number> JsonWriter &value(Number number) {
    separate();
    std::array<char, 32> text{};
    out_.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), number).ptr);
    return *this;
  }
  template <typename Value> JsonWriter &member(std::string_view name, const Value &item) {
    return key(name).value(item);
  }

  [[nodiscard]] const std::string &text() const noexcept { return out_; }

private:
  void separate() {
    if (!first_ && !after_key_)
      out_ += ", ";
    first_ = false;
    after_key_ = false;
  }
  void quote(std::string_view text) {
    constexpr std::string_view kHex = "0123456789abcdef";
    out_ += '"';
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        out_ += '\\';
        out_ += c;
      } else if (byte < 0x20) {
        out_ += "\\u00";
        out_ += kHex[byte >> 4U];
        out_ += kHex[byte & 15U];
      } else {
        out_ += c;
      }
    }
    out_ += '"';
  }

  std::string out_;
  bool first_ = true;
  bool after_key_ = false;
};

} // namespace quietcore
