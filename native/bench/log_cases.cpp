// What a report costs the hot path: records into the log's ring while its thread takes them out every
// millisecond.
#include "cases.hpp"
#include "two_threads.hpp"

#include "quietcore/diagnostics.hpp"
#include "quietcore/feed_findings.hpp"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <vector>

namespace quietcore::bench {
namespace {

constexpr std::uint64_t kBlock = 1'000;

struct Close {
  void operator()(std::FILE *file) const { std::fclose(file); }
};

/// Nanoseconds that a block of calls takes.
template <typename Call> std::uint64_t block_ns(Call &&call) {
  const std::uint64_t begin = monotonic_ns();
  for (std::uint64_t i = 0; i < kBlock; ++i) {
    call(i);
    asm volatile("" ::: "memory"); // no call is put together with the next
  }
  return monotonic_ns() - begin;
}

std::uint64_t median(std::vector<std::uint64_t> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Median over blocks of a call, the empty loop subtracted; `between` runs after each block.
template <typename Call, typename Between> Outcome blocks(double seconds, Call &&call, Between &&between) {
  std::vector<std::uint64_t> full;
  std::vector<std::uint64_t> empty;
  const Stopwatch watch;
  do {
    full.push_back(block_ns(call));
    between();
    empty.push_back(block_ns([](std::uint64_t) {}));
  } while (watch.seconds() < seconds || full.size() < 100);
  const std::uint64_t spent = median(std::move(full));
  const std::uint64_t loop = median(std::move(empty));
  Outcome out;
  out.operations = kBlock;
  out.seconds = static_cast<double>(std::max(spent, loop + 1) - loop) * 1e-9;
  return out;
}

} // namespace

Outcome log_call(const std::string &, double seconds) {
  const std::unique_ptr<std::FILE, Close> nowhere(std::fopen("/dev/null", "w"));
  if (!nowhere)
    throw std::runtime_error("/dev/null cannot be written");
  Outcome out;
  {
    Diagnostics diagnostics(nowhere.get());
    const char *symbol = diagnostics.keep("BTCUSDT");
    const Origin origin{diagnostics.keep("wss://stream.example.com/v5/public/linear"), 0};
    const int last = static_cast<int>(std::thread::hardware_concurrency()) - 1;
    if (last < 1 || !diagnostics.write_on({last - 1}).empty())
      throw std::runtime_error("the log's thread needs a CPU of its own: not measurable here");
    std::uint64_t reported = 0;
    on_two_cpus(
        [&] {
          out = blocks(
              seconds, [&](std::uint64_t n) { diagnostics.report(origin, BookGap{symbol, n + 2, n}); },
              [&] {
                // Room for as many again, as between the troubles of a real feed.
                reported += kBlock;
                if (reported % (LogRing::kRecords / 2) == 0)
                  diagnostics.flush();
              });
        },
        [] {});
    if (diagnostics.dropped() != 0)
      throw std::runtime_error("the log's ring was full: what was measured is no report");
  }
  return out;
}

Outcome line_stores(const std::string &, double seconds) {
  // Eight stores to each of as many cache lines: what a record of 64 bytes costs at all.
  struct alignas(64) Line {
    std::uint64_t words[8];
  };
  std::vector<Line> lines(LogRing::kRecords);
  asm volatile("" ::"r"(lines.data()) : "memory"); // somebody may read them
  std::size_t at = 0;
  Outcome out;
  on_two_cpus(
      [&] {
        out = blocks(
            seconds,
            [&](std::uint64_t n) {
              for (std::uint64_t &word : lines[at].words)
                word = n;
              if (++at == lines.size())
                at = 0;
            },
            [] {});
      },
      [] {});
  return out;
}

} // namespace quietcore::bench
