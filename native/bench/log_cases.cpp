// What a report costs the hot path: records into the log's ring while its thread takes them out every
// millisecond.
#include "cases.hpp"
#include "two_threads.hpp"

#include "quietcore/call_cost.hpp"
#include "quietcore/diagnostics.hpp"
#include "quietcore/feed_findings.hpp"

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <vector>

namespace quietcore::bench {
namespace {

struct Close {
  void operator()(std::FILE *file) const { std::fclose(file); }
};

/// Median over blocks of a call, the empty loop subtracted; `between` runs after each block.
template <typename Call, typename Between> Outcome blocks(double seconds, Call &&call, Between &&between) {
  CallCost cost;
  const Stopwatch watch;
  do {
    cost.block(call);
    between();
  } while (watch.seconds() < seconds || cost.blocks() < 100);
  Outcome out;
  out.operations = CallCost::kBlock;
  out.seconds = cost.figure().median * 1e-9 * CallCost::kBlock;
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
                reported += CallCost::kBlock;
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
