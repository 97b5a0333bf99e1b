#pragma once

#include "quietcore/unasked_venue.hpp"

#include <variant>

namespace quietcore {

/// A venue that is no venue: messages come ready-made from another program, each book whole.
class ExternalVenue final : public UnaskedVenue {
public:
  [[nodiscard]] std::string_view name() const noexcept override { return "external"; }
  [[nodiscard]] std::unique_ptr<Parser> make_parser() const override;
  [[nodiscard]] const SyncRule &rule() const noexcept override;
  [[nodiscard]] bool absent_delete_is_wrong() const noexcept override { return false; }
};

/// Hands on the message that was put into it.
class PreparedMessage final : public Parser {
public:
  std::variant<DepthMessage, TradesMessage, TickerMessage> message;

  [[nodiscard]] ParseResult parse(const char *, std::size_t, MessageSink &sink) noexcept override;
};

} // namespace quietcore
