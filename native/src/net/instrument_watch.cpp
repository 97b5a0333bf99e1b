#include "instrument_watch.hpp"

#include "quietcore/stop_signal.hpp"

#include <pthread.h>
#include <signal.h>

namespace quietcore {

InstrumentWatch::InstrumentWatch(const Venue &venue, Url rest, TlsTrust trust, std::chrono::seconds every,
                                 HostPauses &pauses, OnNews on_news)
    : venue_(venue), rest_(std::move(rest)), trust_(std::move(trust)), every_(every), pauses_(pauses),
      on_news_(std::move(on_news)), thread_([this] { work(); }) {}

InstrumentWatch::~InstrumentWatch() {
  {
    const std::lock_guard lock(mutex_);
    stop_.store(true, std::memory_order_relaxed);
  }
  changed_.notify_all();
  thread_.join();
}

InstrumentWatch::News InstrumentWatch::look() {
  News news;
  const HttpPatience patience{std::chrono::seconds(10), [this] {
                                return stop_.load(std::memory_order_relaxed) || StopSignal::requested();
                              }};
  try {
    news.instruments = venue_.instruments(
        [&](const std::string &target) { return http_get(rest_, target, trust_, patience); });
    pauses_.answered(rest_);
  } catch (const Refused &refused) {
    news.problem = refused.what();
    const HostPauses::Clock::duration pause = pauses_.refused(rest_, refused.refusal());
    if (pause > HostPauses::Clock::duration::zero())
      news.problem += pause_in_words(rest_, pause);
  } catch (const std::exception &error) {
    news.problem = error.what();
  }
  return news;
}

void InstrumentWatch::work() {
  // Signals are for the receiving thread, which ends the process in order.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  pthread_setname_np(pthread_self(), "qc-instruments");
  const auto stopped = [this] { return stop_.load(std::memory_order_relaxed); };
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, every_, stopped)) {
    while (pauses_.left(rest_) > HostPauses::Clock::duration::zero()) {
      if (changed_.wait_for(lock, pauses_.left(rest_), stopped))
        return;
    }
    lock.unlock();
    on_news_(look());
    lock.lock();
  }
}

} // namespace quietcore
