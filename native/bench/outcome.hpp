#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

namespace quietcore::bench {

/// What one block of a case gave.
struct Outcome {
  std::uint64_t operations = 0;
  double seconds = 0;
  std::string bid{};                  ///< best bid at the end, where the case keeps a book
  std::string ask{};                  ///< best ask
  std::map<std::string, double> more; ///< further figures by name
};

/// Stops the time of a block.
class Stopwatch {
public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

/// Runs `pass`, which returns its number of operations, until the time is up; at least once.
template <typename Pass> Outcome run_for(double seconds, Pass &&pass) {
  Outcome out;
  const Stopwatch watch;
  do {
    out.operations += pass();
    out.seconds = watch.seconds();
  } while (out.seconds < seconds);
  return out;
}

} // namespace quietcore::bench
