#include "commands.hpp"

#include "quietcore/diagnostics.hpp"
#include "quietcore/segment.hpp"
#include "quietcore/verification.hpp"

#include <array>
#include <cstdio>
#include <iostream>

namespace quietcore {
namespace {
constexpr std::array<OptionSpec, 3> kOptions{{
    {"--venue", "NAME",
     "whose messages these are: bybit-linear, -inverse, -spot, binance-usdm, -spot, multicast (required)"},
    {"--hashes", "OUT", "write `symbol update_id hash` for each book message applied while live"},
    {"--depth", "N", "levels a side in the ladder (default 20)"},
}};
} // namespace

constexpr CommandSpec kVerifyCommand{
    "verify",
    "Runs a recording through parser, venue rules and books, and prints one JSON object: what was applied "
    "and\n"
    "dropped, gaps, crossed books, the venue's own best prices compared with the book's, and a running hash "
    "of the\n"
    "best 20 levels for comparison with another book.",
    "FILE",
    "lines of `receive_ns raw_json` or bare `raw_json`, or a capture (pcap) of multicast; plain, gzip or "
    "zstd",
    kOptions,
    "exit status: 0 all of it holds; 1 it does not (the JSON's \"problems\" say why); 2 wrong usage"};

ExitCode verify_command(Arguments arguments) {
  const CommandLine line(kVerifyCommand, arguments);
  if (line.help()) {
    std::cout << help_text(kVerifyCommand);
    return ExitCode::Ok;
  }
  const auto venue = make_venue(line.required("--venue"));
  VerifyOptions options;
  options.ladder_depth = static_cast<std::uint32_t>(line.number("--depth", 1, kMaxLadderDepth).value_or(20));
  options.hashes = line.text("--hashes").value_or("");
  Diagnostics diagnostics;
  const Verification result = verify_recording(*venue, line.positional(), options, diagnostics);
  std::cout << result.json << std::endl;
  return result.problems.empty() ? ExitCode::Ok : ExitCode::Found;
}

} // namespace quietcore
