#pragma once

#include "quietcore/venue.hpp"

#include <variant>

namespace quietcore {

/// A venue that is no venue: messages come ready-made from another program, each book whole.
class ExternalVenue final : public Venue {
public:
  [[nodiscard]] std::string_view name() const noexcept override { return "external"; }
  [[nodiscard]] std::unique_ptr<Parser> make_parser() const override;
  [[nodiscard]] const SyncRule &rule() const noexcept override;
  [[nodiscard]] std::span<const std::uint32_t> depths() const noexcept override { return {}; }
  [[nodiscard]] bool absent_delete_is_wrong() const noexcept override { return false; }
  [[nodiscard]] std::vector<Instrument> instruments(const Fetch &) const override { return {}; }
  [[nodiscard]] std::vector<ConnectionPlan> plan(const Subscription &, std::string_view) const override {
    return {};
  }
  [[nodiscard]] std::optional<KeepAlive> keep_alive() const override { return std::nullopt; }
  [[nodiscard]] VenueLimits limits() const noexcept override { return {}; }
  [[nodiscard]] std::string subscribe(const std::vector<std::string> &, std::uint64_t) const override {
    return {};
  }
  [[nodiscard]] std::string snapshot_target(std::string_view) const override { return {}; }
  [[nodiscard]] std::vector<std::string> resubscribe(std::string_view, const Subscription &) const override {
    return {};
  }
  [[nodiscard]] std::vector<std::string> revive(std::string_view, const Subscription &) const override {
    return {};
  }
};

/// Hands on the message that was put into it.
class PreparedMessage final : public Parser {
public:
  std::variant<DepthMessage, TradesMessage, TickerMessage> message;

  [[nodiscard]] ParseResult parse(const char *, std::size_t, MessageSink &sink) noexcept override;
};

} // namespace quietcore
