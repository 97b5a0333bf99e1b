#include "external_venue.hpp"

namespace quietcore {
namespace {

class WholeBooks final : public SyncRule {
public:
  [[nodiscard]] Verdict judge(const DepthMessage &, const BookSync &) const noexcept override {
    return Verdict::Reset;
  }
  [[nodiscard]] bool live_at_snapshot() const noexcept override { return true; }
  [[nodiscard]] bool holds_deltas() const noexcept override { return false; }
};

} // namespace

std::unique_ptr<Parser> ExternalVenue::make_parser() const { return std::make_unique<PreparedMessage>(); }

const SyncRule &ExternalVenue::rule() const noexcept {
  static const WholeBooks rule;
  return rule;
}

ParseResult PreparedMessage::parse(const char *, std::size_t, MessageSink &sink) noexcept {
  if (const auto *depth = std::get_if<DepthMessage>(&message))
    sink.on_depth(*depth);
  else if (const auto *trades = std::get_if<TradesMessage>(&message))
    sink.on_trades(*trades);
  else
    sink.on_ticker(*std::get_if<TickerMessage>(&message));
  return {};
}

} // namespace quietcore
