#include "bybit_venue.hpp"

#include "bybit_instruments.hpp"
#include "bybit_parser.hpp"

#include "../json_text.hpp"

#include <array>

namespace quietcore::bybit {
namespace {

/// A snapshot replaces the book whenever it comes; deltas count up by one, except at level 1, which repeats
/// itself.
class BybitRule final : public SyncRule {
public:
  Verdict judge(const DepthMessage &message, const BookSync &sync) const noexcept override {
    // Update id 1: the venue's service restarted, and whatever it says replaces the book.
    if (message.snapshot || message.last_id == 1)
      return Verdict::Reset;
    if (!sync.has_snapshot)
      return Verdict::Drop;
    if (message.window == 1)
      return Verdict::Apply;
    if (message.last_id == sync.last_id)
      return Verdict::Drop; // the same message again
    return message.last_id == sync.last_id + 1 ? Verdict::Apply : Verdict::Gap;
  }
  bool live_at_snapshot() const noexcept override { return true; }
  bool holds_deltas() const noexcept override { return false; }
};

/// What differs between the venue's products.
struct Product {
  std::string_view name;
  std::string_view category;      ///< in paths and queries
  std::string_view lot;           ///< which field of lotSizeFilter is the step of sizes
  std::size_t topics_per_request; ///< the venue takes at most 10 on spot
};

constexpr Product kSpot{"bybit-spot", "spot", "basePrecision", 10};
constexpr Product kLinear{"bybit-linear", "linear", "qtyStep", 50};
constexpr Product kInverse{"bybit-inverse", "inverse", "qtyStep", 50};

class Bybit final : public Venue {
public:
  explicit Bybit(const Product &product) : product_(product) {}

  std::string_view name() const noexcept override { return product_.name; }
  std::unique_ptr<Parser> make_parser() const override { return bybit::make_parser(); }
  const SyncRule &rule() const noexcept override { return rule_; }
  std::span<const std::uint32_t> depths() const noexcept override { return kDepths; }
  std::span<const std::uint32_t> retired_depths() const noexcept override { return kRetiredDepths; }
  bool absent_delete_is_wrong() const noexcept override { return true; }

  InstrumentList instruments(const Fetch &fetch) const override {
    return fetch_instruments(fetch, product_.category, product_.lot);
  }

  std::vector<ConnectionPlan> plan(const Subscription &subscription, std::string_view) const override {
    // The venue takes at most 21,000 characters of topics on a connection.
    constexpr std::size_t kMaxCharacters = 20'000;
    std::vector<ConnectionPlan> plans;
    std::size_t characters = 0;
    for (const std::string &symbol : subscription.symbols) {
      const std::vector<std::string> topics = topics_of(symbol, subscription);
      std::size_t length = 0;
      for (const std::string &topic : topics)
        length += topic.size() + 3; // quotes and comma
      if (plans.empty() || characters + length > kMaxCharacters) {
        plans.push_back({.target = "/v5/public/" + std::string(product_.category)});
        characters = 0;
      }
      characters += length;
      ConnectionPlan &plan = plans.back();
      if (subscription.book)
        plan.symbols.push_back(symbol);
      for (const std::string &topic : topics) {
        if (plan.batches.empty() || plan.batches.back().size() == product_.topics_per_request)
          plan.batches.emplace_back();
        plan.batches.back().push_back(topic);
      }
    }
    return plans;
  }

  std::optional<KeepAlive> keep_alive() const override {
    return KeepAlive{std::chrono::seconds(20), R"({"op":"ping"})"};
  }
  VenueLimits limits() const noexcept override {
    return {.connections = 500, .message_spacing = std::chrono::milliseconds(20), .lifetime = {}};
  }
  std::string subscribe(const std::vector<std::string> &topics, std::uint64_t number) const override {
    return request("subscribe", topics, number);
  }
  std::string snapshot_target(std::string_view) const override { return {}; }

  std::vector<std::string> resubscribe(std::string_view symbol,
                                       const Subscription &subscription) const override {
    const std::vector<std::string> topics{book_topic(symbol, subscription.depth)};
    return {request("unsubscribe", topics, 0), request("subscribe", topics, 0)};
  }
  std::vector<std::string> revive(std::string_view symbol, const Subscription &subscription) const override {
    return resubscribe(symbol, subscription);
  }

private:
  static constexpr std::array<std::uint32_t, 4> kDepths{1, 50, 200, 1000};
  static constexpr std::array<std::uint32_t, 1> kRetiredDepths{500}; ///< until 2025-09-11

  static std::string book_topic(std::string_view symbol, std::uint32_t depth) {
    return "orderbook." + std::to_string(depth) + "." + std::string(symbol);
  }

  static std::vector<std::string> topics_of(const std::string &symbol, const Subscription &subscription) {
    std::vector<std::string> topics;
    if (subscription.book)
      topics.push_back(book_topic(symbol, subscription.depth));
    if (subscription.trade)
      topics.push_back("publicTrade." + symbol);
    if (subscription.ticker)
      topics.push_back("tickers." + symbol);
    return topics;
  }

  /// number 0: no id, nobody waits for the answer.
  static std::string request(const char *op, const std::vector<std::string> &topics, std::uint64_t number) {
    std::string text = "{";
    if (number != 0)
      text += R"("req_id":")" + std::to_string(number) + R"(",)";
    text += R"("op":")" + std::string(op) + R"(","args":[)";
    for (std::size_t i = 0; i < topics.size(); ++i)
      text += (i == 0 ? "" : ",") + json_text(topics[i]);
    return text + "]}";
  }

  Product product_;
  BybitRule rule_;
};

} // namespace

std::unique_ptr<Venue> make_spot() { return std::make_unique<Bybit>(kSpot); }
std::unique_ptr<Venue> make_linear() { return std::make_unique<Bybit>(kLinear); }
std::unique_ptr<Venue> make_inverse() { return std::make_unique<Bybit>(kInverse); }

} // namespace quietcore::bybit
