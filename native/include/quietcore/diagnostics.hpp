#pragma once

#include "quietcore/error.hpp"
#include "quietcore/log_ring.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace quietcore {

/// Reports on stderr, one line each. Trouble is shown the first five times of a kind, then at most once every
/// ten seconds with the number that was left out.
///
/// Nothing is written by who reports: the hot path leaves a record in a ring, others leave a line, and a
/// thread puts both into words and writes them every millisecond, in the order in which they were left. What
/// finds the ring full, because nobody reads stderr, is counted and said.
class Diagnostics {
public:
  /// out: stays open until this is destroyed.
  explicit Diagnostics(std::FILE *out = stderr);
  Diagnostics(const Diagnostics &) = delete;
  Diagnostics &operator=(const Diagnostics &) = delete;
  /// Writes what is left.
  ~Diagnostics();

  /// For the hot path, of one thread at a time: no allocation, lock or system call.
  template <LogEntry T> void report(const Origin &origin, const T &entry) noexcept {
    ring_.push(origin, entry);
  }
  /// Any thread, not on the hot path.
  void report(Trouble kind, const Finding &finding);
  /// A line that is always printed. Any thread, not on the hot path.
  void say(const std::string &line);

  /// A copy of a name that lives as long as this, for an Origin or an entry. Not for the hot path.
  [[nodiscard]] const char *keep(std::string_view name);
  /// Returns when everything left so far is written.
  void flush();
  /// Moves the writing thread to these CPUs, away from those of the hot path; none: leaves it. Returns why it
  /// could not, or nothing.
  [[nodiscard]] std::string write_on(const std::vector<int> &cpus);

  /// Records of the hot path so far; and what found no room, lines included.
  [[nodiscard]] std::uint64_t reported() const noexcept { return ring_.end(); }
  [[nodiscard]] std::uint64_t dropped() const noexcept {
    return ring_.dropped() + lines_dropped_.load(std::memory_order_relaxed);
  }

private:
  struct Account {
    std::uint64_t reported = 0;
    std::uint64_t left_out = 0;
    std::uint64_t last_ns = 0;
  };
  struct Line {
    std::uint64_t after; ///< comes after so many records
    Trouble kind;        ///< Count: always printed
    std::string text;
  };

  /// More lines than this wait for nobody.
  static constexpr std::size_t kMostLines = 10'000;

  void leave(Trouble kind, std::string text);
  void work();
  void write_pass();
  void write_line(std::string_view text);
  void write_text();
  /// Whether one of its kind is shown now; if so, `note` is what to add to it.
  bool shown(Trouble kind, std::string &note);
  void write_trouble(Trouble kind, const std::string &text, const std::string &note);
  void tell_dropped();

  std::FILE *out_;
  LogRing ring_{};
  std::mutex lines_guard_{};
  std::vector<Line> lines_{};
  std::atomic<std::uint64_t> lines_dropped_{0};
  std::mutex names_guard_{};
  std::set<std::string, std::less<>> names_{};

  std::mutex writing_{}; ///< whoever holds it is the ring's consumer, and owns what follows
  std::vector<Line> taken_lines_{};
  std::string text_{};
  std::uint64_t now_ns_ = 0;
  std::uint64_t told_dropped_ = 0;
  std::array<Account, static_cast<std::size_t>(Trouble::Count)> accounts_{};

  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

} // namespace quietcore
