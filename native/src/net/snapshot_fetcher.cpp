#include "quietcore/snapshot_fetcher.hpp"

#include "quietcore/clock.hpp"
#include "quietcore/error.hpp"
#include "quietcore/market_message.hpp"
#include "quietcore/stop_signal.hpp"

#include <algorithm>
#include <pthread.h>
#include <signal.h>

namespace quietcore {
namespace {
constexpr std::chrono::milliseconds kTimeout{5000};
} // namespace

SnapshotFetcher::SnapshotFetcher(TlsTrust trust, Budget budget, HostPauses &pauses, OnAnswer on_answer)
    : trust_(std::move(trust)), budget_(budget), pauses_(pauses), on_answer_(std::move(on_answer)),
      thread_([this] { work(); }) {}

SnapshotFetcher::~SnapshotFetcher() {
  {
    const std::lock_guard lock(mutex_);
    stop_.store(true, std::memory_order_relaxed);
  }
  changed_.notify_all();
  thread_.join();
}

void SnapshotFetcher::ask(Request request) {
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(requests_, [&](const Request &waiting) {
      return waiting.symbol == request.symbol && waiting.leg == request.leg;
    });
    requests_.push_back(std::move(request));
  }
  changed_.notify_all();
}

void SnapshotFetcher::forget(std::uint32_t leg) {
  const std::lock_guard lock(mutex_);
  std::erase_if(requests_, [&](const Request &waiting) { return waiting.leg == leg; });
}

bool SnapshotFetcher::bring_due_forward(Clock::time_point &look_again) {
  const Clock::time_point now = Clock::now();
  look_again = now + std::chrono::hours(1);
  for (auto at = requests_.begin(); at != requests_.end(); ++at) {
    const auto [free_from, fresh] = free_from_.try_emplace(at->server.authority());
    const Clock::time_point full = now - budget_.spacing * budget_.burst;
    free_from->second = fresh ? full : std::max(free_from->second, full);
    const Clock::duration pause = pauses_.left(at->server, now);
    if (pause > Clock::duration::zero()) // whoever it is due to
      free_from->second = std::max(free_from->second, now + pause - budget_.spacing);
    const Clock::time_point due = free_from->second + budget_.spacing;
    if (due <= now) {
      free_from->second = due;
      std::rotate(requests_.begin(), at, at + 1);
      return true;
    }
    look_again = std::min(look_again, due);
  }
  return false;
}

SnapshotFetcher::Answer SnapshotFetcher::fetch(Request request) {
  Answer answer;
  answer.request = std::move(request);
  const auto stopped = [this] { return stop_.load(std::memory_order_relaxed) || StopSignal::requested(); };
  try {
    answer.body = http_get(answer.request.server, answer.request.target, trust_, {kTimeout, stopped});
    answer.receive_ns = realtime_ns();
    answer.body.reserve(answer.body.size() + kMessagePadding);
    pauses_.answered(answer.request.server);
  } catch (const Refused &refused) {
    answer.problem = refused.what();
    const HostPauses::Clock::duration pause = pauses_.refused(answer.request.server, refused.refusal());
    if (pause > Clock::duration::zero())
      answer.problem += pause_in_words(answer.request.server, pause);
  } catch (const std::exception &error) {
    answer.problem = error.what();
  }
  if (!answer.problem.empty())
    answer.body.clear();
  return answer;
}

void SnapshotFetcher::work() {
  // Signals are for the receiving thread, which ends the process in order.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  pthread_setname_np(pthread_self(), "qc-snapshots");
  std::unique_lock lock(mutex_);
  const auto stopped = [this] { return stop_.load(std::memory_order_relaxed); };
  for (;;) {
    changed_.wait(lock, [&] { return stopped() || !requests_.empty(); });
    if (stopped())
      return;
    Clock::time_point look_again;
    if (!bring_due_forward(look_again)) {
      changed_.wait_until(lock, look_again);
      continue;
    }
    Request request = std::move(requests_.front());
    requests_.pop_front();
    lock.unlock();
    on_answer_(fetch(std::move(request)));
    lock.lock();
  }
}

} // namespace quietcore
