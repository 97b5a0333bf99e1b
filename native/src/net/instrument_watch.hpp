#pragma once

#include "quietcore/http_client.hpp"
#include "quietcore/venue.hpp"

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace quietcore {

/// Asks the venue for its instruments again and again, on a thread of its own.
class InstrumentWatch {
public:
  struct News {
    std::vector<Instrument> instruments{};
    std::string problem{}; ///< why there are none, one line
  };
  /// Called on the watch's thread.
  using OnNews = std::function<void(News)>;

  InstrumentWatch(const Venue &venue, Url rest, TlsTrust trust, std::chrono::seconds every, OnNews on_news);
  InstrumentWatch(const InstrumentWatch &) = delete;
  InstrumentWatch &operator=(const InstrumentWatch &) = delete;
  ~InstrumentWatch();

private:
  void work();

  const Venue &venue_;
  Url rest_;
  TlsTrust trust_;
  std::chrono::seconds every_;
  OnNews on_news_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  std::thread thread_;
};

} // namespace quietcore
