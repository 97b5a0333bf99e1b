#include "quietcore/stop_signal.hpp"

#include <csignal>

namespace quietcore {
namespace {
std::atomic<bool> stop{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void on_signal(int) { stop.store(true, std::memory_order_relaxed); }
} // namespace

void StopSignal::install() {
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

bool StopSignal::requested() noexcept { return stop.load(std::memory_order_relaxed); }

} // namespace quietcore
