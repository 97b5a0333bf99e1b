// Runs blocks of cases as it is told, one request a line: `CASE INPUT SECONDS`. Answers each with one line of
// JSON. Pairing, order and judgement are those of run.py, which drives the peers in the same way.
#include "cases.hpp"

#include <exception>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>

namespace quietcore::bench {
namespace {

using Case = std::function<Outcome(const std::string &, double)>;

const std::map<std::string, Case> &cases() {
  static const std::map<std::string, Case> all{
      {"feed", feed_throughput},
      {"feed-latency", feed_latency},
      {"plain", plain_book},
      {"simdjson-walk", simdjson_walk},
      {"log-call", log_call},
      {"line-stores", line_stores},
      {"raw-round-trip", raw_round_trip},
      {"ring-round-trip", ring_round_trip},
      {"boost-round-trip", boost_round_trip},
      {"bulk-throughput", bulk_throughput},
      {"ring-throughput", ring_throughput},
      {"boost-throughput", boost_throughput},
      {"ring-drain", ring_drain},
      {"wire-to-tick", wire_to_tick},
      {"wire-to-slot", wire_to_slot},
      {"memory", memory},
  };
  return all;
}

std::string answer(const Outcome &out) {
  std::ostringstream text;
  text.precision(9);
  text << "{\"operations\": " << out.operations << ", \"seconds\": " << out.seconds;
  if (!out.bid.empty())
    text << ", \"bid\": \"" << out.bid << "\", \"ask\": \"" << out.ask << "\"";
  for (const auto &[name, value] : out.more)
    text << ", \"" << name << "\": " << value;
  text << "}";
  return text.str();
}

int serve() {
  std::cout << "{\"ready\": true}" << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string name;
    std::string input;
    double seconds = 0;
    if (!(words >> name >> input >> seconds) || !cases().contains(name)) {
      std::cerr << "quietcore-bench: no such request: " << line
                << "; expected CASE INPUT SECONDS, CASE one of";
      for (const auto &[known, run] : cases())
        std::cerr << ' ' << known;
      std::cerr << std::endl;
      return 2;
    }
    std::cout << answer(cases().at(name)(input, seconds)) << std::endl;
  }
  return 0;
}

} // namespace
} // namespace quietcore::bench

int main() {
  try {
    return quietcore::bench::serve();
  } catch (const std::exception &error) {
    std::cerr << "quietcore-bench: " << error.what() << std::endl;
    return 3;
  }
}
