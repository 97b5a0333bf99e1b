#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>

namespace quietcore::test {

using Random = std::mt19937_64;

/// Whole numbers from 0 to below `bound`.
[[nodiscard]] inline std::uint64_t below(Random &random, std::uint64_t bound) { return random() % bound; }
/// True once in `of` times.
[[nodiscard]] inline bool once_in(Random &random, std::uint64_t of) { return random() % of == 0; }

/// An odd but legal input, and the answer that a reader must give to it.
struct Rendered {
  std::string input;
  std::string truth;
};

/// A way to break an input, and what the reader must then answer.
struct Damage {
  /// Nothing where this input has nothing to break in this way.
  std::function<std::optional<std::string>(Random &, const std::string &input)> apply;
  std::function<bool(const std::string &answer)> refused;
};

/// A reader of the project with the model of its inputs. Answers are texts, so that they can be compared and
/// shown.
struct ReaderModel {
  using Read = std::function<std::string(const std::string &input)>;
  std::string name;
  std::function<Rendered(Random &)> render;
  Read read;
  std::map<std::string, Damage> damages;
  std::map<std::string, Read> planted; ///< the reader with a bug, which the campaign must see
};

/// What was played.
struct Tally {
  std::uint64_t legal = 0;
  std::map<std::string, std::uint64_t> damaged{};
};

/// Gives the reader as many inputs as QUIETCORE_READER_INPUTS says (default 10,000), each fourth a damaged
/// one, from QUIETCORE_READER_SEED (default 1) and, of a long proof, QUIETCORE_PART; then sees that each
/// planted bug shows itself. Fails the test at the first wrong answer, with what plays it again. Figures go
/// to QUIETCORE_FIGURES.
void run_campaign(const ReaderModel &model);

} // namespace quietcore::test
