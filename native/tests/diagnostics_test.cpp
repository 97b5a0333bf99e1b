#include "quietcore/diagnostics.hpp"

#include <algorithm>
#include <gtest/gtest.h>

namespace quietcore {
namespace {

TEST(Diagnostics, TheFirstFewOfAKindAreShown) {
  std::FILE *file = std::tmpfile();
  Diagnostics diagnostics(file);
  for (int i = 0; i < 1000; ++i)
    diagnostics.report(Trouble::Malformed,
                       {.what = "a", .where = "file:1", .found = "b", .expected = "c", .remedy = "d"});
  diagnostics.report(Trouble::Gap, {.what = "other"});
  std::rewind(file);
  std::string text(100'000, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 6);
  EXPECT_NE(text.find("quietcore-feed: a: file:1; found b; expected c; remedy: d\n"), std::string::npos);
  EXPECT_NE(text.find("further ones are counted"), std::string::npos);
  EXPECT_NE(text.find("quietcore-feed: other\n"), std::string::npos);
}

} // namespace
} // namespace quietcore
