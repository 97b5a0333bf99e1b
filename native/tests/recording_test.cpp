#include "quietcore/recording.hpp"

#include "quietcore/error.hpp"
#include "temporary_folder.hpp"

#include <gtest/gtest.h>
#include <vector>
#include <zlib.h>

namespace quietcore {
namespace {

struct Line {
  std::uint64_t number;
  std::int64_t receive_ns;
  std::string message;
  bool ended;
  friend bool operator==(const Line &, const Line &) = default;
};

std::vector<Line> read(const std::string &path, RecordingEnd wanted = RecordingEnd::Complete) {
  RecordingReader reader(path);
  std::vector<Line> lines;
  RecordedLine line;
  while (reader.next(line))
    lines.push_back({line.number, line.receive_ns, std::string(line.message), line.ended});
  EXPECT_EQ(reader.end(), wanted);
  return lines;
}

std::string gzip(const test::TemporaryFolder &folder, const std::string &content) {
  const std::string path = folder.path() + "/file.gz";
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, content.data(), static_cast<unsigned>(content.size()));
  gzclose(file);
  return path;
}

TEST(Recording, ReadsBothKindsOfLines) {
  const test::TemporaryFolder folder;
  const std::vector<Line> wanted{
      {1, 1723161255030314667, "{\"a\":1}", true}, {3, 0, "{\"b\":2}", true}, {4, 0, "{}", false}};
  const std::string content = "1723161255030314667 {\"a\":1}\r\n\n{\"b\":2}\n{}";
  EXPECT_EQ(read(folder.write("plain", content)), wanted);
  EXPECT_EQ(read(gzip(folder, content)), wanted);
}

TEST(Recording, LongLinesAndManyLines) {
  const test::TemporaryFolder folder;
  std::string content;
  std::vector<std::size_t> sizes;
  for (int i = 0; i < 300; ++i) {
    const std::size_t size = i == 100 ? 3'000'000 : static_cast<std::size_t>(i) * 97 + 2;
    sizes.push_back(size);
    content += "{" + std::string(size - 2, 'x') + "}\n";
  }
  for (const std::string &path : {folder.write("plain", content), gzip(folder, content)}) {
    const auto lines = read(path);
    ASSERT_EQ(lines.size(), sizes.size());
    for (std::size_t i = 0; i < lines.size(); ++i) {
      ASSERT_EQ(lines[i].message.size(), sizes[i]);
      ASSERT_EQ(lines[i].message.back(), '}');
      ASSERT_EQ(lines[i].number, i + 1);
    }
  }
}

TEST(Recording, CutGzipDataAreNoticed) {
  const test::TemporaryFolder folder;
  std::string content;
  for (int i = 0; i < 20'000; ++i)
    content +=
        std::to_string(1'700'000'000'000'000'000 + i * 7919LL) + " {\"n\":" + std::to_string(i * 31) + "}\n";
  const std::string path = gzip(folder, content);
  const auto size = std::filesystem::file_size(path);
  const auto whole = read(path);
  ASSERT_EQ(whole.size(), 20'000U);
  for (const auto cut : {size - 1, size - 9, size / 2, size / 10}) {
    std::filesystem::resize_file(path, cut);
    const auto lines = read(path, RecordingEnd::Truncated);
    EXPECT_LE(lines.size(), 20'000U);
    for (std::size_t i = 0; i + 1 < lines.size(); ++i)
      ASSERT_EQ(lines[i], whole[i]);
  }
}

TEST(Recording, WhatCannotBeOpenedIsSaid) {
  const test::TemporaryFolder folder;
  EXPECT_THROW(RecordingReader(folder.path() + "/none"), Error);
  EXPECT_THROW(RecordingReader(folder.path()), Error);
  EXPECT_TRUE(read(folder.write("empty", "")).empty());
}

TEST(Recording, MarksOfMissingMessagesAreCountedAndSkipped) {
  const test::TemporaryFolder folder;
  RecordingReader reader(folder.write("marked",
                                      "1 {\"a\":1}\n# 7 messages are missing here: the buffer was full\n"
                                      "2 {\"a\":2}\n# a remark\n"));
  RecordedLine line;
  ASSERT_TRUE(reader.next(line));
  ASSERT_TRUE(reader.next(line));
  EXPECT_EQ(line.message, R"({"a":2})");
  EXPECT_FALSE(reader.next(line));
  EXPECT_EQ(reader.missing(), 7U);
}

} // namespace
} // namespace quietcore
