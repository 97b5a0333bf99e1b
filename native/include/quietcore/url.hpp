#pragma once

#include <string>
#include <string_view>

namespace quietcore {

/// Where a venue's service listens: scheme, host and port; venues add the path.
struct Url {
  std::string scheme; ///< ws, wss, http or https
  std::string host;   ///< without brackets
  std::string port;
  std::string path; ///< prefix of every target, without a slash at its end; mostly empty

  [[nodiscard]] bool tls() const noexcept { return scheme == "wss" || scheme == "https"; }
  /// As a user would write it.
  [[nodiscard]] std::string text() const;
  /// Value of the Host header.
  [[nodiscard]] std::string authority() const;

  /// Takes "wss://stream.bybit.com" or "http://127.0.0.1:8760"; the scheme must be `plain` or `plain` + "s".
  /// Throws Error naming `where`.
  [[nodiscard]] static Url parse(std::string_view text, std::string_view plain, const std::string &where);
};

/// A text as one part of a path or of a query (RFC 3986): every byte but letters, digits and -._~ as %XX.
[[nodiscard]] std::string percent_encode(std::string_view text);

} // namespace quietcore
