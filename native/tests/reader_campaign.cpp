#include "reader_campaign.hpp"

#include "quietcore/json_writer.hpp"

#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <map>

namespace quietcore::test {
namespace {

constexpr std::uint64_t kDamagedEvery = 4;
constexpr std::uint64_t kPlantedMost = 4000; ///< inputs in which a planted bug must show itself

std::uint64_t setting(const char *name, std::uint64_t otherwise) {
  const char *text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : std::strtoull(text, nullptr, 10);
}

std::uint64_t seed_of(const std::string &name, std::uint64_t seed, std::uint64_t number) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : name)
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return (hash ^ seed * 0x9e3779b97f4a7c15ULL) + number * 0xbf58476d1ce4e5b9ULL;
}

/// Plays one input; what is wrong, empty where nothing is.
std::string play(const ReaderModel &model, const ReaderModel::Read &read, std::uint64_t seed,
                 std::uint64_t number, Tally &tally) {
  Random random(seed_of(model.name, seed, number));
  const Rendered given = model.render(random);
  const std::string where =
      model.name + ", seed " + std::to_string(seed) + ", input " + std::to_string(number);
  if (number % kDamagedEvery == 0 && !model.damages.empty()) {
    auto kind = model.damages.begin();
    std::advance(kind, static_cast<std::ptrdiff_t>(number / kDamagedEvery % model.damages.size()));
    if (const auto broken = kind->second.apply(random, given.input)) {
      ++tally.damaged[kind->first];
      const std::string answer = read(*broken);
      return kind->second.refused(answer)
                 ? ""
                 : where + ", damaged: " + kind->first + "\nfound " + answer + "\nof " + *broken;
    }
  }
  ++tally.legal;
  const std::string answer = read(given.input);
  return answer == given.truth
             ? ""
             : where + "\nfound " + answer + "\nexpected " + given.truth + "\nof " + given.input;
}

/// All figures of this process so far, as one JSON object.
void write_figures(const std::string &name, const Tally &tally) {
  static std::map<std::string, Tally> all;
  all[name] = tally;
  const char *path = std::getenv("QUIETCORE_FIGURES");
  if (path == nullptr || *path == '\0')
    return;
  JsonWriter json;
  json.open();
  for (const auto &[reader, played] : all) {
    json.key(reader).open().member("legal", played.legal);
    for (const auto &[kind, count] : played.damaged)
      json.member(kind, count);
    json.close();
  }
  std::ofstream(path) << json.close().text() << "\n";
}

} // namespace

void run_campaign(const ReaderModel &model) {
  const std::uint64_t inputs = setting("QUIETCORE_READER_INPUTS", 10'000);
  const std::uint64_t seed = setting("QUIETCORE_READER_SEED", 1);
  const std::uint64_t part = setting("QUIETCORE_PART", 0);
  Tally tally;
  for (std::uint64_t number = part * inputs; number < (part + 1) * inputs; ++number) {
    const std::string wrong = play(model, model.read, seed, number, tally);
    ASSERT_EQ(wrong, "");
  }
  EXPECT_GT(tally.legal, 0U);
  for (const auto &[kind, damage] : model.damages)
    EXPECT_GT(tally.damaged[kind], 0U) << "never applied: " << kind;
  write_figures(model.name, tally);
  for (const auto &[bug, read] : model.planted) {
    bool caught = false;
    Tally ignored;
    for (std::uint64_t number = 0; number < kPlantedMost && !caught; ++number)
      caught = !play(model, read, seed, number, ignored).empty();
    EXPECT_TRUE(caught) << "planted and not seen: " << bug;
  }
}

} // namespace quietcore::test
