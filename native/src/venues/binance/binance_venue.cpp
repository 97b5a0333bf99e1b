#include "binance_venue.hpp"

#include "binance_instruments.hpp"
#include "binance_parser.hpp"

#include "../json_text.hpp"

#include "quietcore/url.hpp"

namespace quietcore::binance {
namespace {

/// Deltas wait for a REST snapshot; older ones are dropped, the first applied holds the snapshot's id between
/// its first and last id, and from then on each names its predecessor.
class UsdmRule final : public SyncRule {
public:
  Verdict judge(const DepthMessage &message, const BookSync &sync) const noexcept override {
    if (message.snapshot) {
      // A live book holds all of a snapshot that it has passed, and more levels than it.
      if (!sync.bridged)
        return Verdict::Reset;
      return message.last_id <= sync.last_id ? Verdict::Drop : Verdict::Keep;
    }
    if (!sync.has_snapshot)
      return Verdict::Hold;
    if (!sync.bridged) {
      if (message.last_id < sync.snapshot_id)
        return Verdict::Drop;
      return message.first_id <= sync.snapshot_id ? Verdict::Apply : Verdict::Stale;
    }
    if (message.last_id == sync.last_id)
      return Verdict::Drop; // the same message again
    return message.previous_id == sync.last_id ? Verdict::Apply : Verdict::Gap;
  }
  bool live_at_snapshot() const noexcept override { return false; }
  bool holds_deltas() const noexcept override { return true; }
};

/// As on futures, but no delta names its predecessor: each begins where the one before it ended. Deltas that
/// the snapshot holds are dropped.
class SpotRule final : public SyncRule {
public:
  Verdict judge(const DepthMessage &message, const BookSync &sync) const noexcept override {
    if (message.snapshot) {
      if (!sync.bridged)
        return Verdict::Reset;
      return message.last_id <= sync.last_id ? Verdict::Drop : Verdict::Keep;
    }
    if (!sync.has_snapshot)
      return Verdict::Hold;
    if (!sync.bridged) {
      if (message.last_id <= sync.snapshot_id)
        return Verdict::Drop;
      return message.first_id <= sync.snapshot_id + 1 ? Verdict::Apply : Verdict::Stale;
    }
    if (message.last_id == sync.last_id)
      return Verdict::Drop; // the same message again
    return message.first_id == sync.last_id + 1 ? Verdict::Apply : Verdict::Gap;
  }
  bool live_at_snapshot() const noexcept override { return false; }
  bool holds_deltas() const noexcept override { return true; }
};

/// What differs between the venue's markets.
struct Market {
  std::string_view name;
  std::string_view api;          ///< prefix of REST targets
  std::string_view depth_stream; ///< fastest there is
  bool routed;                   ///< the venue's hosts have a path for each kind of stream (since 2026-04-23)
};

constexpr Market kSpot{"binance-spot", "/api/v3", "@depth@100ms", false};
constexpr Market kUsdm{"binance-usdm", "/fapi/v1", "@depth@0ms", true};

/// Streams are named in lower case. Of letters beyond ASCII the venue says nothing: they stay as they are.
std::string lower(std::string_view text) {
  std::string out(text);
  for (char &c : out)
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

class Binance final : public Venue {
public:
  explicit Binance(const Market &market) : market_(market), spot_(!market.routed) {}

  std::string_view name() const noexcept override { return market_.name; }
  std::unique_ptr<Parser> make_parser() const override {
    return spot_ ? make_spot_parser() : make_usdm_parser();
  }
  const SyncRule &rule() const noexcept override {
    if (spot_)
      return spot_rule_;
    return usdm_rule_;
  }
  std::span<const std::uint32_t> depths() const noexcept override { return {}; }
  /// The venue documents that deletes of unknown levels are normal.
  bool absent_delete_is_wrong() const noexcept override { return false; }

  InstrumentList instruments(const Fetch &fetch) const override {
    return fetch_instruments(fetch, std::string(market_.api) + "/exchangeInfo");
  }

  std::vector<ConnectionPlan> plan(const Subscription &subscription, std::string_view host) const override {
    // The venue itself routes streams by their kind since 2026-04-23; a simulator or proxy serves all on one
    // path.
    const bool routed = market_.routed && host.ends_with("binance.com");
    std::vector<ConnectionPlan> plans;
    if (routed) {
      add(plans, "/public", subscription, true, false);
      add(plans, "/market", subscription, false, true);
    } else {
      add(plans, "", subscription, true, true);
    }
    return plans;
  }

  std::optional<KeepAlive> keep_alive() const override { return std::nullopt; }

  /// The venue takes five messages a second on spot and ten on futures, its own pings' answers among them; it
  /// hangs up after 24 hours, so a connection is replaced before that.
  VenueLimits limits() const noexcept override {
    return {.connections = 300,
            .message_spacing = std::chrono::milliseconds(250),
            .lifetime = std::chrono::hours(23)};
  }
  std::string subscribe(const std::vector<std::string> &topics, std::uint64_t number) const override {
    return request("SUBSCRIBE", topics, number);
  }

  std::string snapshot_target(std::string_view symbol) const override {
    return std::string(market_.api) + "/depth?symbol=" + percent_encode(symbol) + "&limit=1000";
  }
  std::vector<std::string> resubscribe(std::string_view, const Subscription &) const override { return {}; }
  std::vector<std::string> revive(std::string_view symbol, const Subscription &) const override {
    const std::vector<std::string> topics{lower(symbol) + std::string(market_.depth_stream)};
    return {request("UNSUBSCRIBE", topics, 1), request("SUBSCRIBE", topics, 2)};
  }

private:
  static std::string request(const char *method, const std::vector<std::string> &topics,
                             std::uint64_t number) {
    std::string text = R"({"method":")" + std::string(method) + R"(","params":[)";
    for (std::size_t i = 0; i < topics.size(); ++i)
      text += (i == 0 ? "" : ",") + json_text(topics[i]);
    return text + R"(],"id":)" + std::to_string(number) + "}";
  }

  void add(std::vector<ConnectionPlan> &plans, const std::string &path, const Subscription &subscription,
           bool quotes, bool trades) const {
    constexpr std::size_t kMaxStreams = 200; // on one connection
    std::size_t streams = kMaxStreams;
    for (const std::string &symbol : subscription.symbols) {
      const std::string stream = percent_encode(lower(symbol)); // it stands in a query
      std::vector<std::string> names;
      if (quotes && subscription.book)
        names.push_back(stream + std::string(market_.depth_stream));
      if (quotes && subscription.ticker)
        names.push_back(stream + "@bookTicker");
      if (trades && subscription.trade)
        names.push_back(stream + "@trade");
      if (names.empty())
        continue;
      if (streams + names.size() > kMaxStreams) {
        plans.push_back({.target = path + "/stream?streams="});
        streams = 0;
      }
      for (const std::string &name : names) {
        if (streams++ != 0)
          plans.back().target += '/';
        plans.back().target += name;
      }
      if (quotes && subscription.book)
        plans.back().symbols.push_back(symbol);
    }
  }

  Market market_;
  bool spot_;
  SpotRule spot_rule_;
  UsdmRule usdm_rule_;
};

} // namespace

std::unique_ptr<Venue> make_spot() { return std::make_unique<Binance>(kSpot); }
std::unique_ptr<Venue> make_usdm() { return std::make_unique<Binance>(kUsdm); }

} // namespace quietcore::binance
