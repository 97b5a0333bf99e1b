#include "instrument_watch.hpp"

#include <pthread.h>
#include <signal.h>

namespace quietcore {

InstrumentWatch::InstrumentWatch(const Venue &venue, Url rest, TlsTrust trust, std::chrono::seconds every,
                                 OnNews on_news)
    : venue_(venue), rest_(std::move(rest)), trust_(std::move(trust)), every_(every),
      on_news_(std::move(on_news)), thread_([this] { work(); }) {}

InstrumentWatch::~InstrumentWatch() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void InstrumentWatch::work() {
  // Signals are for the receiving thread, which ends the process in order.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  pthread_setname_np(pthread_self(), "qc-instruments");
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, every_, [this] { return stop_; })) {
    lock.unlock();
    News news;
    try {
      news.instruments = venue_.instruments([this](const std::string &target) {
        return http_get(rest_, target, trust_, std::chrono::seconds(10));
      });
    } catch (const std::exception &error) {
      news.problem = error.what();
    }
    on_news_(std::move(news));
    lock.lock();
  }
}

} // namespace quietcore
