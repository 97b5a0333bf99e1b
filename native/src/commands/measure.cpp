#include "commands.hpp"

#include "quietcore/call_cost.hpp"
#include "quietcore/diagnostics.hpp"
#include "quietcore/feed_findings.hpp"
#include "quietcore/json_writer.hpp"
#include "quietcore/thread_placement.hpp"

#include <array>
#include <cstdio>
#include <iostream>
#include <memory>
#include <sched.h>
#include <vector>

namespace quietcore {
namespace {

constexpr std::array<OptionSpec, 3> kOptions{{
    {"--cpu", "N", "CPU of the measured thread (default: the last one that may be used)"},
    {"--blocks", "N", "of 1,000 lines (default 1000)"},
    {"--json", "", "one JSON object"},
}};

struct Close {
  void operator()(std::FILE *file) const { std::fclose(file); }
};

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(static_cast<std::size_t>(cpu), &set))
        cpus.push_back(cpu);
    }
  }
  return cpus;
}

/// The log's thread on the other CPUs, this one on `cpu`. Throws Error where that cannot be.
void place(Diagnostics &diagnostics, std::vector<int> cpus, int cpu) {
  std::erase(cpus, cpu);
  if (cpus.empty())
    throw Error({.what = "no CPU for the log's own thread",
                 .where = "beside CPU " + std::to_string(cpu),
                 .found = "no other that may be used",
                 .expected = "one for each of two threads",
                 .remedy = "run it where two CPUs are allowed (taskset, the unit's CPUAffinity)"},
                ExitCode::Unknown);
  std::string why = diagnostics.write_on(cpus);
  if (why.empty())
    why = pin_this_thread(cpu);
  if (!why.empty())
    throw Error({.what = "threads cannot be placed", .found = why}, ExitCode::Unknown);
}

CallCost log_cost(int cpu, std::int64_t blocks) {
  const std::unique_ptr<std::FILE, Close> nowhere(std::fopen("/dev/null", "w"));
  if (!nowhere)
    throw Error({.what = "cannot be written", .where = "/dev/null"}, ExitCode::Unknown);
  Diagnostics diagnostics(nowhere.get());
  const char *symbol = diagnostics.keep("BTCUSDT");
  const Origin origin{diagnostics.keep("wss://stream.example.com/v5/public/linear"), 0};
  place(diagnostics, allowed_cpus(), cpu);
  CallCost cost;
  for (std::uint64_t reported = 0; cost.blocks() < static_cast<std::size_t>(blocks);) {
    cost.block([&](std::uint64_t n) { diagnostics.report(origin, BookGap{symbol, n + 2, n}); });
    // Room for as many again, as between the troubles of a real feed.
    if ((reported += CallCost::kBlock) % (LogRing::kRecords / 2) == 0)
      diagnostics.flush();
  }
  if (diagnostics.dropped() != 0)
    throw Error({.what = "the log's ring was full, so no lines were measured",
                 .found = std::to_string(diagnostics.dropped()) + " dropped",
                 .remedy = "measure when less else runs here"},
                ExitCode::Unknown);
  return cost;
}

} // namespace

constexpr CommandSpec kMeasureCommand{
    "measure",
    "Measures what a line of the log costs the receiving thread on this machine.",
    "",
    "",
    kOptions,
    "The median over blocks of 1,000 lines with the empty loop subtracted, and its 95 % interval. The lines "
    "are\n"
    "put into words and thrown away by the log's own thread on another CPU.\n"
    "exit status: 0 measured; 2 wrong usage; 3 not measurable here"};

ExitCode measure_command(Arguments arguments) {
  const CommandLine line(kMeasureCommand, arguments);
  if (line.help()) {
    std::cout << help_text(kMeasureCommand);
    return ExitCode::Ok;
  }
  const std::vector<int> cpus = allowed_cpus();
  const int last = cpus.empty() ? 0 : cpus.back();
  const int cpu = static_cast<int>(line.number("--cpu", 0, CPU_SETSIZE - 1).value_or(last));
  CallCost cost = log_cost(cpu, line.number("--blocks", 100, 1'000'000).value_or(1000));
  const CallCost::Figure figure = cost.figure();
  if (line.has("--json")) {
    JsonWriter json;
    json.open().key("log").open();
    json.member("median_ns", figure.median).member("low_ns", figure.low).member("high_ns", figure.high);
    json.member("blocks", cost.blocks()).member("cpu", cpu).close().close();
    std::cout << json.text() << std::endl;
  } else {
    std::printf("a line of the log: %.1f ns (%.1f to %.1f, %zu blocks of 1,000, CPU %d)\n", figure.median,
                figure.low, figure.high, cost.blocks(), cpu);
  }
  return ExitCode::Ok;
}

} // namespace quietcore
