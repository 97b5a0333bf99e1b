#include "quietcore/diagnostics.hpp"
#include "quietcore/feed_findings.hpp"

#include "temporary_log.hpp"

#include <algorithm>
#include <chrono>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <thread>
#include <unistd.h>

namespace quietcore {
namespace {

using test::TemporaryLog;

auto lines(const std::string &text) { return std::count(text.begin(), text.end(), '\n'); }

TEST(Diagnostics, TheFirstFewOfAKindAreShown) {
  const TemporaryLog log;
  Diagnostics diagnostics(log.file());
  for (int i = 0; i < 1000; ++i)
    diagnostics.report(Trouble::Malformed,
                       {.what = "a", .where = "file:1", .found = "b", .expected = "c", .remedy = "d"});
  diagnostics.report(Trouble::Gap, {.what = "other"});
  diagnostics.flush();
  const std::string text = log.text();
  EXPECT_EQ(lines(text), 6);
  EXPECT_NE(text.find("quietcore-feed: a: file:1; found b; expected c; remedy: d\n"), std::string::npos);
  EXPECT_NE(text.find("further ones are counted"), std::string::npos);
  EXPECT_NE(text.find("quietcore-feed: other\n"), std::string::npos);
}

TEST(Diagnostics, SoItIsForReportsOfTheHotPath) {
  const TemporaryLog log;
  Diagnostics diagnostics(log.file());
  for (std::uint64_t i = 0; i < 1000; ++i)
    diagnostics.report({"file", i + 1}, BookGap{"BTCUSDT", i, 0});
  diagnostics.report({"file", 2000}, BookCrossed{"BTCUSDT", 5});
  EXPECT_EQ(diagnostics.reported(), 1001U);
  diagnostics.flush();
  const std::string text = log.text();
  EXPECT_EQ(lines(text), 6) << text;
  EXPECT_NE(text.find("quietcore-feed: gap in the book of BTCUSDT: file:5; found update 4;"),
            std::string::npos);
  EXPECT_EQ(text.find("file:6;"), std::string::npos);
  EXPECT_NE(text.find("crossed book of BTCUSDT: file:2000"), std::string::npos);
  EXPECT_EQ(diagnostics.dropped(), 0U);
}

TEST(Diagnostics, LinesAndReportsStandInTheirOrder) {
  const TemporaryLog log;
  Diagnostics diagnostics(log.file());
  diagnostics.say("one");
  diagnostics.report({"two", 0}, BookCrossed{"A", 5});
  diagnostics.say("three");
  diagnostics.say("four");
  diagnostics.report({"five", 0}, BookGap{"A", 5, 1});
  diagnostics.flush();
  const std::string text = log.text();
  std::size_t at = 0;
  for (const char *word : {"one", "two", "three", "four", "five"}) {
    const std::size_t found = text.find(word);
    ASSERT_NE(found, std::string::npos) << word;
    EXPECT_GE(found, at) << text;
    at = found;
  }
}

TEST(Diagnostics, WhatIsReportedIsWrittenWithoutBeingAskedFor) {
  const TemporaryLog log;
  Diagnostics diagnostics(log.file());
  diagnostics.report({"x", 0}, BookCrossed{"A", 5});
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (log.text().empty() && std::chrono::steady_clock::now() < end)
    std::this_thread::yield();
  EXPECT_NE(log.text().find("crossed book of A: x"), std::string::npos);
}

TEST(Diagnostics, TheEndWritesWhatIsLeft) {
  const TemporaryLog log;
  {
    Diagnostics diagnostics(log.file());
    diagnostics.say("last words");
  }
  EXPECT_EQ(log.text(), "quietcore-feed: last words\n");
}

TEST(Diagnostics, AReaderThatIsStuckHoldsNobodyUpAndWhatIsLostIsSaid) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  const int room = fcntl(ends[1], F_SETPIPE_SZ, 4096);
  ASSERT_GE(room, 4096);
  std::FILE *out = fdopen(ends[1], "w");
  std::string text;
  std::thread reader;
  {
    Diagnostics diagnostics(out);
    diagnostics.say(std::string(static_cast<std::size_t>(2 * room), '.'));
    int waiting = 0; // until the writer hangs in the pipe
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (waiting < room && std::chrono::steady_clock::now() < end)
      ASSERT_EQ(ioctl(ends[0], FIONREAD, &waiting), 0);
    ASSERT_EQ(waiting, room);
    for (std::uint64_t i = 0; i < LogRing::kRecords + 1234; ++i)
      diagnostics.report({"x", 0}, BookGap{"A", i, 0});
    EXPECT_EQ(diagnostics.dropped(), 1234U);
    for (int i = 0; i < 10'003; ++i)
      diagnostics.say("line");
    EXPECT_EQ(diagnostics.dropped(), 1237U);
    reader = std::thread([&] {
      std::array<char, 4096> part{};
      for (ssize_t size = 0; (size = read(ends[0], part.data(), part.size())) > 0;)
        text.append(part.data(), static_cast<std::size_t>(size));
    });
  }
  std::fclose(out);
  reader.join();
  close(ends[0]);
  EXPECT_NE(
      text.find(
          "lines of this log lost: standard error; found 1237 so far, as the buffer of 100000 was full"),
      std::string::npos)
      << text.substr(text.size() - std::min<std::size_t>(text.size(), 500));
  EXPECT_NE(text.find("gap in the book of A: x; found update 4;"), std::string::npos);
}

TEST(Diagnostics, NamesAreKeptOnce) {
  const TemporaryLog log;
  Diagnostics diagnostics(log.file());
  std::string name = "wss://venue/path";
  const char *kept = diagnostics.keep(name);
  EXPECT_STREQ(kept, "wss://venue/path");
  EXPECT_NE(kept, name.c_str());
  EXPECT_EQ(diagnostics.keep("wss://venue/path"), kept);
  EXPECT_NE(diagnostics.keep("another"), kept);
}

TEST(Diagnostics, TheWriterCanBeMovedToCoresThatExist) {
  const TemporaryLog log;
  Diagnostics diagnostics(log.file());
  EXPECT_EQ(diagnostics.write_on({}), "");
  EXPECT_EQ(diagnostics.write_on({1023}), "Invalid argument");
}

} // namespace
} // namespace quietcore
