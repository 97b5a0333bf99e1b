#pragma once

#include "quietcore/host_pauses.hpp"
#include "quietcore/http_client.hpp"
#include "quietcore/url.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

namespace quietcore {

/// Fetches book snapshots over REST on a thread of its own, so that the receiving thread never waits for one.
/// Keeps to a budget of each server: `burst` at once, then one every `spacing`; and to the server's pauses,
/// which it shares with everything else that is asked there: after a pause there is no burst.
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

  SnapshotFetcher(TlsTrust trust, Budget budget, HostPauses &pauses, OnAnswer on_answer);
  SnapshotFetcher(const SnapshotFetcher &) = delete;
  SnapshotFetcher &operator=(const SnapshotFetcher &) = delete;
  ~SnapshotFetcher();

  /// Takes the place of a request for the same symbol and leg that still waits.
  void ask(Request request);
  /// Drops the requests of a leg that still wait.
  void forget(std::uint32_t leg);

private:
  using Clock = std::chrono::steady_clock;

  void work();
  /// The first request whose server may be asked now is moved to the front; else when to look again.
  [[nodiscard]] bool bring_due_forward(Clock::time_point &look_again);
  [[nodiscard]] Answer fetch(Request request);

  TlsTrust trust_;
  Budget budget_;
  HostPauses &pauses_;
  OnAnswer on_answer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Request> requests_;
  std::map<std::string, Clock::time_point> free_from_{}; ///< by server: the budget as a time
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

} // namespace quietcore
