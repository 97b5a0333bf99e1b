#pragma once

#include "quietcore/http_client.hpp"
#include "quietcore/url.hpp"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace quietcore {

/// Fetches book snapshots over REST on a thread of its own, so that the receiving thread never waits for one.
/// Keeps to a budget: `burst` at once, then one every `spacing`; where the venue has shut the door (HTTP 403
/// or 418) nothing is asked for ten minutes, as more would only keep it shut.
class SnapshotFetcher {
public:
  struct Request {
    std::uint32_t symbol = 0;
    std::uint32_t leg = 0;
    std::uint64_t generation = 0; ///< of the connection; the asker drops answers of an older one
    Url server{};
    std::string target{};
  };
  struct Answer {
    Request request;
    std::string body{};    ///< empty where it failed
    std::string problem{}; ///< why, one line
    std::int64_t receive_ns = 0;
  };
  /// Called on the fetcher's thread.
  using OnAnswer = std::function<void(Answer)>;

  struct Budget {
    unsigned burst = 20;
    std::chrono::milliseconds spacing{500};
  };

  SnapshotFetcher(TlsTrust trust, Budget budget, OnAnswer on_answer);
  SnapshotFetcher(const SnapshotFetcher &) = delete;
  SnapshotFetcher &operator=(const SnapshotFetcher &) = delete;
  ~SnapshotFetcher();

  void ask(Request request);

private:
  void work();

  TlsTrust trust_;
  Budget budget_;
  OnAnswer on_answer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Request> requests_;
  bool stop_ = false;
  std::thread thread_;
};

} // namespace quietcore
