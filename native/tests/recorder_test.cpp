#include "quietcore/recorder.hpp"

#include "quietcore/error.hpp"
#include "quietcore/recording.hpp"
#include "temporary_folder.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <mutex>
#include <string>
#include <sys/resource.h>
#include <thread>
#include <vector>

namespace quietcore {
namespace {

namespace fs = std::filesystem;

TEST(MessageBuffer, KeepsOrderAcrossTheWrapAndCountsWhatDoesNotFit) {
  MessageBuffer buffer(1);
  std::uint64_t sent = 0;
  std::uint64_t got = 0;
  std::uint64_t dropped = 0;
  std::uint64_t told = 0;
  BufferedMessage message;
  for (int round = 0; round < 5000; ++round) {
    for (int n = 0; n < round % 700; ++n) {
      const std::string text = std::to_string(sent) + std::string(static_cast<std::size_t>(sent % 301), 'x');
      if (buffer.push(static_cast<std::uint32_t>(sent % 3), static_cast<std::int64_t>(sent), text))
        ++sent;
      else
        ++dropped;
    }
    for (int n = 0; n < 400 && buffer.front(message); ++n) {
      ASSERT_EQ(message.receive_ns, static_cast<std::int64_t>(got));
      ASSERT_EQ(message.stream, got % 3);
      ASSERT_EQ(message.bytes, std::to_string(got) + std::string(static_cast<std::size_t>(got % 301), 'x'));
      told += message.dropped_before;
      ++got;
      buffer.pop();
    }
  }
  EXPECT_GT(dropped, 1000U);
  while (buffer.front(message)) {
    told += message.dropped_before;
    ++got;
    buffer.pop();
  }
  EXPECT_EQ(got, sent);
  EXPECT_EQ(told + buffer.untold_drops(), dropped);
}

TEST(MessageBuffer, TwoThreads) {
  MessageBuffer buffer(1);
  constexpr std::uint64_t kCount = 200'000;
  std::thread reader([&] {
    BufferedMessage message;
    for (std::uint64_t n = 0; n < kCount;) {
      if (!buffer.front(message)) {
        std::this_thread::yield();
        continue;
      }
      if (message.bytes != std::to_string(n))
        ADD_FAILURE() << message.bytes << " is not " << n;
      buffer.pop();
      ++n;
    }
  });
  for (std::uint64_t n = 0; n < kCount;) {
    if (buffer.push(0, 0, std::to_string(n)))
      ++n;
    else
      std::this_thread::yield();
  }
  reader.join();
}

class RecorderTest : public ::testing::Test {
protected:
  RecorderConfig config() const {
    RecorderConfig out;
    out.folder = folder_.path();
    out.buffer = 1 << 16;
    return out;
  }

  void say(const std::string &line) {
    const std::lock_guard lock(mutex_);
    said_ += line + "\n";
  }
  std::string said() {
    const std::lock_guard lock(mutex_);
    return said_;
  }

  /// Files of a leg, oldest first.
  std::vector<std::string> files(const std::string &prefix = "feed-a-") const {
    std::vector<std::string> out;
    for (const auto &entry : fs::directory_iterator(folder_.path()))
      if (entry.path().filename().string().starts_with(prefix))
        out.push_back(entry.path().string());
    std::sort(out.begin(), out.end());
    return out;
  }

  struct Content {
    std::vector<std::string> messages{};
    std::vector<std::int64_t> times{};
    std::uint64_t missing = 0;
    bool truncated = false;
  };
  static Content read(const std::vector<std::string> &paths) {
    Content content;
    for (const std::string &path : paths) {
      RecordingReader reader(path);
      RecordedLine line;
      while (reader.next(line)) {
        content.messages.emplace_back(line.message);
        content.times.push_back(line.receive_ns);
      }
      content.missing += reader.missing();
      content.truncated = content.truncated || reader.end() == RecordingEnd::Truncated;
    }
    return content;
  }

  template <typename Condition> static void until(const Condition &holds) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!holds() && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ASSERT_TRUE(holds());
  }

  Recorder::Say speaker() {
    return [this](const std::string &line) { say(line); };
  }

  test::TemporaryFolder folder_;
  std::mutex mutex_;
  std::string said_;
};

TEST_F(RecorderTest, WritesEveryMessageWithItsTime) {
  {
    Recorder recorder(config(), "feed", speaker());
    for (int n = 0; n < 100; ++n)
      recorder.take(0, 1000 + n, R"({"n":)" + std::to_string(n) + "}");
    recorder.take(1, 7, "{\n\"other\": \"leg\"\n}");
    EXPECT_EQ(recorder.taken(), 101U);
    EXPECT_EQ(recorder.dropped(), 0U);
  }
  const Content content = read(files());
  ASSERT_EQ(content.messages.size(), 100U);
  EXPECT_EQ(content.messages[42], R"({"n":42})");
  EXPECT_EQ(content.times[42], 1042);
  EXPECT_FALSE(content.truncated);
  const Content other = read(files("feed-b-"));
  ASSERT_EQ(other.messages.size(), 1U);
  EXPECT_EQ(other.messages[0], R"({ "other": "leg" })") << "a message is one line";
  EXPECT_EQ(fs::status(files()[0]).permissions() & fs::perms::all & ~fs::perms(0640), fs::perms::none);
}

TEST_F(RecorderTest, WhatOverflowsIsCountedAndMarked) {
  std::uint64_t taken = 0;
  std::uint64_t dropped = 0;
  {
    Recorder recorder(config(), "feed", speaker());
    const std::string text = R"({"long":")" + std::string(900, 'x') + R"("})";
    for (int n = 0; n < 20'000; ++n)
      recorder.take(0, n, text);
    taken = recorder.taken();
    dropped = recorder.dropped();
  }
  EXPECT_EQ(taken + dropped, 20'000U);
  EXPECT_GT(dropped, 0U);
  const Content content = read(files());
  EXPECT_EQ(content.messages.size(), taken);
  EXPECT_EQ(content.missing, dropped);
}

TEST_F(RecorderTest, AFileThatLostItsEndIsReadableUpToThere) {
  {
    Recorder recorder(config(), "feed", speaker());
    for (int frame = 0; frame < 3; ++frame) {
      const auto size = [&] { return files().empty() ? 0 : fs::file_size(files()[0]); };
      const auto before = size();
      for (int n = 0; n < 50; ++n)
        recorder.take(0, 1, R"({"frame":)" + std::to_string(frame) + "}");
      until([&] { return size() > before; });
    }
  }
  const std::string path = files().at(0);
  fs::resize_file(path, fs::file_size(path) - 3);
  const Content content = read({path});
  EXPECT_TRUE(content.truncated);
  EXPECT_GE(content.messages.size(), 100U) << "whole frames before the damage";
}

TEST_F(RecorderTest, RotatesAndKeepsOnlySoMuch) {
  RecorderConfig small = config();
  small.rotate_bytes = 1;
  small.keep_bytes = 1;
  {
    Recorder recorder(small, "feed", speaker());
    until([&] {
      recorder.take(0, 1, R"({"n":1})");
      return said().find("recording removed") != std::string::npos;
    });
  }
  EXPECT_LE(files().size(), 2U);
}

TEST_F(RecorderTest, AFullDiskIsCountedAndGoneOnFrom) {
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  {
    Recorder recorder(config(), "feed", speaker());
    rlimit none = before;
    none.rlim_cur = 8; // no frame fits
    setrlimit(RLIMIT_FSIZE, &none);
    recorder.take(0, 1, R"({"n":1})");
    recorder.take(0, 2, R"({"n":2})");
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (recorder.dropped() < 2 && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_EQ(recorder.dropped(), 2U);
    std::this_thread::sleep_for(std::chrono::milliseconds(1100)); // until the disk is tried again
    recorder.take(0, 3, R"({"n":3})");
  }
  std::signal(SIGXFSZ, handler);
  const Content content = read(files());
  EXPECT_EQ(content.messages, std::vector<std::string>{R"({"n":3})"});
  EXPECT_EQ(content.missing, 2U);
  EXPECT_NE(said().find("recording interrupted"), std::string::npos);
  EXPECT_EQ(said().find("recording interrupted"), said().rfind("recording interrupted")) << "said once";
}

TEST_F(RecorderTest, AFolderThatIsNotThereIsRefused) {
  RecorderConfig wrong = config();
  wrong.folder = "/nowhere/at/all";
  try {
    Recorder recorder(wrong, "feed", speaker());
    FAIL() << "no error";
  } catch (const Error &error) {
    EXPECT_NE(std::string(error.what()).find("/nowhere/at/all"), std::string::npos) << error.what();
  }
}

} // namespace
} // namespace quietcore
