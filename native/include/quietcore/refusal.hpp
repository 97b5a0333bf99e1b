#pragma once

#include "quietcore/error.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace quietcore {

/// What another side meant that declined a request or a connection.
struct Refusal {
  bool passing = true; ///< the same may be asked again later; else it will be refused for ever
  std::optional<std::chrono::milliseconds> pause{}; ///< as long as the other side wants to be left alone
  std::string text{};                               ///< its status and its own words, one printable line

  /// Of an HTTP answer that is not the one wanted; also of a WebSocket handshake. Passing are 403 and 418
  /// (Bybit's and Binance's answers to too many requests: at least ten minutes, unless the answer says
  /// otherwise), 408, 425, 429 and all 5xx. `retry_after`: that header (RFC 9110, 10.2.3), empty where there
  /// was none; `now`: UTC.
  [[nodiscard]] static Refusal of_http(unsigned status, std::string_view retry_after, std::string_view body,
                                       std::chrono::system_clock::time_point now);
};

/// A refusal as an error: exit 3 where it will pass, exit 2 where it will not.
class Refused : public Error {
public:
  Refused(const Finding &finding, Refusal refusal)
      : Error(finding, refusal.passing ? ExitCode::Unknown : ExitCode::Usage), refusal_(std::move(refusal)) {}

  [[nodiscard]] const Refusal &refusal() const noexcept { return refusal_; }

private:
  Refusal refusal_;
};

/// The time that a Retry-After header gives, from `now`: seconds, or a date as HTTP writes it. Nothing where
/// it is neither; at most three days, the longest ban that a venue documents.
[[nodiscard]] std::optional<std::chrono::milliseconds>
read_retry_after(std::string_view value, std::chrono::system_clock::time_point now);

} // namespace quietcore
