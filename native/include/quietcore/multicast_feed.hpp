#pragma once

#include "quietcore/diagnostics.hpp"
#include "quietcore/feed_config.hpp"
#include "quietcore/feed_core.hpp"
#include "quietcore/live_feed.hpp"
#include "quietcore/service_notify.hpp"
#include "quietcore/venue.hpp"

#include <functional>
#include <memory>
#include <vector>

namespace quietcore {

/// Follows a feed that comes over multicast until a stop is asked for: puts its packets in order, keeps its
/// books right by its snapshots, and hands every packet to the core. Everything runs on the calling thread.
/// Answers `status` on the control socket.
class MulticastFeed {
public:
  /// Throws Error where the groups cannot be joined.
  MulticastFeed(const FeedConfig &config, const Venue &venue, FeedCore &core, Diagnostics &diagnostics,
                const ServiceNotify &notify);
  MulticastFeed(const MulticastFeed &) = delete;
  MulticastFeed &operator=(const MulticastFeed &) = delete;
  ~MulticastFeed();

  /// As LiveFeed::before_loop.
  void before_loop(std::function<void()> call);

  /// Returns at the end, with the books STALE; InstrumentsChanged where the publisher began anew with other
  /// symbols or scales.
  LiveFeed::End run();

private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

/// The symbols of the feed as its snapshot channel lists them; listens for them for some seconds. Throws
/// Error: nothing came, or not all of it.
[[nodiscard]] std::vector<Instrument> await_multicast_instruments(const FeedConfig &config);

} // namespace quietcore
