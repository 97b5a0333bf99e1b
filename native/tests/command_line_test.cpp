#include "quietcore/command_line.hpp"

#include "quietcore/error.hpp"

#include <array>
#include <gtest/gtest.h>

namespace quietcore {
namespace {

constexpr std::array<OptionSpec, 2> kOptions{{{"--size", "N", "how many"}, {"--loud", "", "a flag"}}};
constexpr CommandSpec kSpec{"play", "Plays a file.", "FILE", "what to play", kOptions, "notes"};

CommandLine parse(std::vector<std::string_view> arguments) { return {kSpec, arguments}; }

TEST(CommandLine, TakesOptionsInBothForms) {
  const CommandLine line = parse({"--size", "5", "file", "--loud"});
  EXPECT_EQ(line.number("--size", 0, 10), 5);
  EXPECT_TRUE(line.has("--loud"));
  EXPECT_EQ(line.positional(), "file");
  EXPECT_EQ(parse({"--size=7"}).number("--size", 0, 10), 7);
  EXPECT_FALSE(parse({}).number("--size", 0, 10).has_value());
  EXPECT_TRUE(parse({"--help", "--nonsense"}).help());
}

TEST(CommandLine, RefusesTheRest) {
  EXPECT_THROW((void)parse({"--what"}), Error);
  EXPECT_THROW((void)parse({"a", "b"}), Error);
  EXPECT_THROW((void)parse({"--size"}), Error);
  EXPECT_THROW((void)parse({"--loud=1"}), Error);
  EXPECT_THROW((void)parse({"--size", "11"}).number("--size", 0, 10), Error);
  EXPECT_THROW((void)parse({"--size", "x"}).number("--size", 0, 10), Error);
  EXPECT_THROW((void)parse({}).positional(), Error);
  EXPECT_THROW((void)parse({}).required("--size"), Error);
}

TEST(CommandLine, HelpNamesEverything) {
  const std::string help = help_text(kSpec);
  for (const char *part :
       {"quietcore-feed play [options] FILE", "Plays a file.", "--size N  how many", "--loud", "notes"})
    EXPECT_NE(help.find(part), std::string::npos) << part;
}

TEST(CommandLine, FeedNamesAreFileNames) {
  EXPECT_NO_THROW(check_feed_name("demo-1.x_y", ""));
  for (const char *name : {"", ".hidden", "a/b", "a b", "../x", "0123456789012345678901234567890123456789"})
    EXPECT_THROW(check_feed_name(name, ""), Error) << name;
}

} // namespace
} // namespace quietcore
