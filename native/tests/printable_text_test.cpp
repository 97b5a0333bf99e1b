#include "quietcore/printable_text.hpp"

#include <gtest/gtest.h>

namespace quietcore {
namespace {

TEST(PrintableText, IsOneLineWhateverComes) {
  EXPECT_EQ(printable_text("Too many visits!"), "Too many visits!");
  EXPECT_EQ(printable_text("  a\r\n\r\n b\tc \n"), "a b c");
  EXPECT_EQ(printable_text("red \x1b[31malert\x07\x7f"), "red [31malert");
  EXPECT_EQ(printable_text(std::string_view("a\0b", 3)), "a b");
  EXPECT_EQ(printable_text(""), "");
  EXPECT_EQ(printable_text("\xc2\x9b"
                           "31m"),
            "31m")
      << "a control character of two bytes";
  EXPECT_EQ(printable_text("a\xe2\x80\xae"
                           "b"),
            "a b")
      << "turns the direction of what follows";
}

TEST(PrintableText, KeepsWhatPeopleCanRead) {
  EXPECT_EQ(printable_text("币安人生USDT – ünï"), "币安人生USDT – ünï");
  EXPECT_EQ(printable_text("a\xff\xc0\xaf"
                           "b\xe5\xb8"),
            "a???b??")
      << "no UTF-8";
  EXPECT_EQ(printable_text("\xed\xa0\x80"), "???") << "a surrogate";
}

TEST(PrintableText, CutsBetweenCharacters) {
  EXPECT_EQ(printable_text("币安人生", 7), "币安…");
  EXPECT_EQ(printable_text("abcdef", 6), "abcdef");
  EXPECT_EQ(printable_text("abcdefg", 6), "abcdef…");
}

TEST(PrintableText, LeavesTheTagsOfAPageOut) {
  EXPECT_EQ(printable_text("\n<html><head><style>p { x < y }</style><title>403 Forbidden</title></head>"
                           "<body><h1>403</h1><script>a < b</script>nginx</body></html>"),
            "403 Forbidden 403 nginx");
  EXPECT_EQ(printable_text("<unclosed"), "");
  EXPECT_EQ(printable_text("1 < 2"), "1 < 2");
}

} // namespace
} // namespace quietcore
