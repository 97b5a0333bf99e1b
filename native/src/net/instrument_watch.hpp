#pragma once

#include "quietcore/host_pauses.hpp"
#include "quietcore/http_client.hpp"
#include "quietcore/venue.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace quietcore {

/// Asks the venue for its instruments again and again, on a thread of its own, and keeps to the server's
/// pauses.
class InstrumentWatch {
public:
  struct News {
    InstrumentList instruments{};
    std::string problem{}; ///< why there are none, one line
  };
  /// Called on the watch's thread.
  using OnNews = std::function<void(News)>;

  InstrumentWatch(const Venue &venue, Url rest, TlsTrust trust, std::chrono::seconds every,
                  HostPauses &pauses, OnNews on_news);
  InstrumentWatch(const InstrumentWatch &) = delete;
  InstrumentWatch &operator=(const InstrumentWatch &) = delete;
  ~InstrumentWatch();

private:
  void work();
  [[nodiscard]] News look();

  const Venue &venue_;
  Url rest_;
  TlsTrust trust_;
  std::chrono::seconds every_;
  HostPauses &pauses_;
  OnNews on_news_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

} // namespace quietcore
