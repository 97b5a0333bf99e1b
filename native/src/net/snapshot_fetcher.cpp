#include "quietcore/snapshot_fetcher.hpp"

#include "quietcore/clock.hpp"
#include "quietcore/error.hpp"
#include "quietcore/market_message.hpp"

#include <algorithm>
#include <pthread.h>
#include <signal.h>

namespace quietcore {
namespace {
constexpr std::chrono::milliseconds kTimeout{5000};
constexpr std::chrono::minutes kShut{10};
} // namespace

SnapshotFetcher::SnapshotFetcher(TlsTrust trust, Budget budget, OnAnswer on_answer)
    : trust_(std::move(trust)), budget_(budget), on_answer_(std::move(on_answer)),
      thread_([this] { work(); }) {}

SnapshotFetcher::~SnapshotFetcher() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void SnapshotFetcher::ask(Request request) {
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(std::move(request));
  }
  changed_.notify_all();
}

void SnapshotFetcher::work() {
  // Signals are for the receiving thread, which ends the process in order.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  pthread_setname_np(pthread_self(), "qc-snapshots");
  using Clock = std::chrono::steady_clock;
  // The budget as a time: how far the next free place lies in the past is how many are free.
  auto free_from = Clock::now() - budget_.spacing * budget_.burst;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stop_ || !requests_.empty(); });
    if (stop_)
      return;
    free_from = std::max(free_from, Clock::now() - budget_.spacing * budget_.burst);
    if (changed_.wait_until(lock, free_from + budget_.spacing, [this] { return stop_; }))
      return;
    free_from += budget_.spacing;
    Answer answer;
    answer.request = std::move(requests_.front());
    requests_.pop_front();
    lock.unlock();
    try {
      answer.body = http_get(answer.request.server, answer.request.target, trust_, kTimeout);
      answer.receive_ns = realtime_ns();
      answer.body.reserve(answer.body.size() + kMessagePadding);
    } catch (const std::exception &error) {
      answer.body.clear();
      answer.problem = error.what();
      if (answer.problem.find("HTTP 403") != std::string::npos ||
          answer.problem.find("HTTP 418") != std::string::npos) {
        answer.problem += "; no snapshot is asked for in the next ten minutes";
        free_from = Clock::now() + kShut;
      }
    }
    on_answer_(std::move(answer));
    lock.lock();
  }
}

} // namespace quietcore
