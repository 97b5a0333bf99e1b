#pragma once

#include "quietcore/market_message.hpp"
#include "quietcore/shared_memory.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quietcore {

/// A tradable symbol and its scales.
struct Instrument {
  std::string name;
  Scale tick{};
  Scale lot{};
};

/// What a venue lists. One entry that is not as documented spoils none of the others.
struct InstrumentList {
  /// An entry that cannot be followed, and why.
  struct Other {
    std::string name; ///< empty where it has none
    std::string why;
    bool trades = false; ///< or it may: nobody can tell. Else it is only not open for trading
  };
  std::vector<Instrument> trading{};
  std::vector<Other> others{};

  /// The entry of that name that cannot be followed; nullptr: none.
  [[nodiscard]] const Other *other(std::string_view name) const noexcept {
    for (const Other &entry : others) {
      if (entry.name == name)
        return &entry;
    }
    return nullptr;
  }
};

/// Longest name of a symbol that fits the shared memory, in bytes of UTF-8.
inline constexpr std::size_t kMaxSymbolBytes = sizeof(shm::SymbolEntry::name) - 1;

/// Where a symbol's book stands in the venue's numbering.
struct BookSync {
  shm::State state = shm::State::EMPTY;
  std::uint64_t last_id = 0;     ///< of the last message applied
  std::uint64_t snapshot_id = 0; ///< of the last snapshot applied
  bool has_snapshot = false;     ///< deltas may follow it
  bool bridged = false;          ///< a delta has followed it
};

/// What to do with a depth message.
enum class Verdict : std::uint8_t {
  Apply, ///< the next delta
  Reset, ///< a snapshot: replaces the book
  Drop,  ///< adds nothing to the book: skip
  Keep,  ///< a snapshot ahead of a live book: used only where the deltas up to it never come
  Hold,  ///< waits for a snapshot
  Gap,   ///< does not follow the last one: the book is wrong from here on
  Stale, ///< the snapshot is older than the stream: another is needed
  Doubt, ///< messages are missing, perhaps of this book: not LIVE until the next delta or a snapshot fits
  Lose,  ///< the sender itself has lost the book
};

/// The venue's rules for keeping a book right. Stateless.
class SyncRule {
public:
  SyncRule() = default;
  SyncRule(const SyncRule &) = delete;
  SyncRule &operator=(const SyncRule &) = delete;
  virtual ~SyncRule() = default;

  [[nodiscard]] virtual Verdict judge(const DepthMessage &message, const BookSync &sync) const noexcept = 0;
  /// A snapshot alone makes the book LIVE; else the first delta that bridges it does.
  [[nodiscard]] virtual bool live_at_snapshot() const noexcept = 0;
  /// Deltas that arrive before their snapshot are kept and judged again after it.
  [[nodiscard]] virtual bool holds_deltas() const noexcept = 0;
};

/// What is subscribed to, as configured.
struct Subscription {
  std::vector<std::string> symbols;
  std::uint32_t depth = 50;
  bool book = true;
  bool trade = true;
  bool ticker = true;
};

/// One WebSocket connection and what is subscribed to on it.
struct ConnectionPlan {
  std::string target; ///< path and query
  /// Topics, in the batches in which the venue takes them; none where the target names them already.
  std::vector<std::vector<std::string>> batches{};
  std::vector<std::string> symbols{}; ///< whose books depend on it
};

/// What the venue allows an address, and how long it keeps a connection.
struct VenueLimits {
  unsigned connections = 0;                     ///< tries within five minutes
  std::chrono::milliseconds message_spacing{0}; ///< between two requests on a connection
  std::chrono::seconds lifetime{0};             ///< after which the venue hangs up, 0: it does not
};

/// Fetches a REST target; returns the body or throws Error.
using Fetch = std::function<std::string(const std::string &target)>;

/// How a venue's messages come.
enum class Transport : std::uint8_t {
  WebSocket, ///< with REST beside it
  Multicast, ///< datagrams that are sent anyway, snapshots among them: nothing is asked for
};

/// One exchange and market. Everything the core must not know about it.
class Venue {
public:
  Venue() = default;
  Venue(const Venue &) = delete;
  Venue &operator=(const Venue &) = delete;
  virtual ~Venue() = default;

  [[nodiscard]] virtual std::string_view name() const noexcept = 0;
  [[nodiscard]] virtual Transport transport() const noexcept { return Transport::WebSocket; }
  [[nodiscard]] virtual std::unique_ptr<Parser> make_parser() const = 0;
  [[nodiscard]] virtual const SyncRule &rule() const noexcept = 0;
  /// Depths the venue offers for its book stream; empty: no choice.
  [[nodiscard]] virtual std::span<const std::uint32_t> depths() const noexcept = 0;
  /// Depths it offered once: recordings have them, and a simulator that plays such a recording.
  [[nodiscard]] virtual std::span<const std::uint32_t> retired_depths() const noexcept { return {}; }
  /// A delete of a level that is not in the book proves the book wrong.
  [[nodiscard]] virtual bool absent_delete_is_wrong() const noexcept = 0;

  /// All that the venue lists, from its REST interface. Throws Refused where the venue itself declines, Error
  /// where the answer as a whole is not as documented.
  [[nodiscard]] virtual InstrumentList instruments(const Fetch &fetch) const = 0;
  /// Splits a subscription over connections by the venue's limits. `host` without port.
  [[nodiscard]] virtual std::vector<ConnectionPlan> plan(const Subscription &subscription,
                                                         std::string_view host) const = 0;
  /// What to send so that the venue keeps the connection, and how often; nothing where it pings by itself.
  struct KeepAlive {
    std::chrono::milliseconds every;
    std::string message;
  };
  [[nodiscard]] virtual std::optional<KeepAlive> keep_alive() const = 0;
  [[nodiscard]] virtual VenueLimits limits() const noexcept = 0;
  /// The request that subscribes to these topics; its answer is a Subscribed or Refused control message with
  /// the same number.
  [[nodiscard]] virtual std::string subscribe(const std::vector<std::string> &topics,
                                              std::uint64_t number) const = 0;
  /// REST target of a book snapshot, empty where the stream itself sends them.
  [[nodiscard]] virtual std::string snapshot_target(std::string_view symbol) const = 0;
  /// Messages that make the stream send a new snapshot of one symbol, empty where REST does.
  [[nodiscard]] virtual std::vector<std::string> resubscribe(std::string_view symbol,
                                                             const Subscription &subscription) const = 0;
  /// Messages that make a book's stream speak again where it fell silent.
  [[nodiscard]] virtual std::vector<std::string> revive(std::string_view symbol,
                                                        const Subscription &subscription) const = 0;
};

/// Names of the venues built in.
[[nodiscard]] std::vector<std::string_view> venue_names();

/// The venue of a name. Throws Error (exit 2) with the list where it is unknown.
[[nodiscard]] std::unique_ptr<Venue> make_venue(std::string_view name);

} // namespace quietcore
