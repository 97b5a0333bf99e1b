#pragma once

#include "quietcore/diagnostics.hpp"
#include "quietcore/feed_config.hpp"
#include "quietcore/feed_core.hpp"
#include "quietcore/host_pauses.hpp"
#include "quietcore/service_notify.hpp"
#include "quietcore/venue.hpp"

#include <cstdint>
#include <functional>
#include <memory>

namespace quietcore {

/// Follows a venue over its WebSocket connections until a stop is asked for: subscribes, pings, reconnects,
/// fetches snapshots, and hands every message to the core. Everything runs on the calling thread, but REST.
/// Answers requests on the control socket: `status`, and `switch a|b WEBSOCKET [REST]`.
class LiveFeed {
public:
  /// `subscription` with the symbols that `core` was made for, in the same order. `pauses` outlives it: a
  /// server that wants to be left alone does not know that a feed begins again.
  LiveFeed(const FeedConfig &config, const Venue &venue, const Subscription &subscription, FeedCore &core,
           Diagnostics &diagnostics, const ServiceNotify &notify, HostPauses &pauses);
  LiveFeed(const LiveFeed &) = delete;
  LiveFeed &operator=(const LiveFeed &) = delete;
  ~LiveFeed();

  /// Called by run() once its helper thread is there and before the first connection: place and lock memory
  /// here, so that neither the helper inherits the CPU nor its stack is left out.
  void before_loop(std::function<void()> call);

  enum class End : std::uint8_t {
    Stopped,           ///< StopSignal is set
    InstrumentsChanged ///< scales are others now: the ring must be made anew
  };

  /// Returns at the end, with the books STALE. Throws Error where it cannot even begin.
  End run();

private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

} // namespace quietcore
