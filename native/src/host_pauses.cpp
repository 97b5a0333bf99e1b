#include "quietcore/host_pauses.hpp"

#include <algorithm>

namespace quietcore {
namespace {

constexpr std::chrono::seconds kFirst{1};
constexpr std::chrono::seconds kLimit{60};

std::string key_of(const Url &server) {
  std::string key = server.host + ":" + server.port;
  for (char &c : key)
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return key;
}

} // namespace

HostPauses::Clock::duration HostPauses::left(const Url &server, Clock::time_point now) const {
  const std::lock_guard lock(mutex_);
  const auto at = hosts_.find(key_of(server));
  return at == hosts_.end() ? Clock::duration::zero()
                            : std::max(Clock::duration::zero(), at->second.until - now);
}

HostPauses::Clock::duration HostPauses::refused(const Url &server, const Refusal &refusal,
                                                Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  Host &host = hosts_[key_of(server)];
  if (refusal.passing && refusal.pause && refusal.pause->count() > 0) {
    host.until = std::max(host.until, now + *refusal.pause);
  } else if (refusal.passing && now >= host.until) { // others may have been under way when the pause began
    host.until = now + std::min(kLimit, kFirst * (1 << std::min(host.refusals, 6U)));
    ++host.refusals;
  }
  return std::max(Clock::duration::zero(), host.until - now);
}

void HostPauses::answered(const Url &server) {
  const std::lock_guard lock(mutex_);
  if (const auto at = hosts_.find(key_of(server)); at != hosts_.end())
    at->second.refusals = 0;
}

std::string pause_in_words(const Url &server, HostPauses::Clock::duration pause) {
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(pause).count();
  return " (nothing is asked of " + server.host + ":" + server.port + " for " +
         (ms >= 10'000 ? std::to_string((ms + 999) / 1000) + " s" : std::to_string(ms) + " ms") + ")";
}

} // namespace quietcore
