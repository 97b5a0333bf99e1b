#include "quietcore/diagnostics.hpp"

#include "quietcore/clock.hpp"

namespace quietcore {
namespace {
constexpr std::uint64_t kFirst = 5;
constexpr std::uint64_t kEveryNs = 10'000'000'000;
} // namespace

void Diagnostics::say(const std::string &line) {
  std::fprintf(out_, "quietcore-feed: %s\n", line.c_str());
  std::fflush(out_);
}

void Diagnostics::report(Trouble kind, const Finding &finding) {
  Account &account = accounts_[static_cast<std::size_t>(kind)];
  const std::uint64_t now = monotonic_ns();
  if (account.reported >= kFirst && now - account.last_ns < kEveryNs) {
    ++account.left_out;
    return;
  }
  std::string line = finding.message();
  if (account.left_out != 0)
    line += " (" + std::to_string(account.left_out) + " more like it since)";
  if (++account.reported == kFirst)
    line += " (further ones are counted, and shown every 10 s)";
  account.left_out = 0;
  account.last_ns = now;
  say(line);
}

} // namespace quietcore
