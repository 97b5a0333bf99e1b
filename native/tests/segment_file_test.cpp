#include "quietcore/segment_file.hpp"

#include "quietcore/error.hpp"
#include "quietcore/ring_reader.hpp"
#include "quietcore/ring_writer.hpp"
#include "temporary_folder.hpp"

#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <gtest/gtest.h>
#include <optional>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace quietcore {
namespace {

class SegmentFile : public ::testing::Test {
protected:
  SegmentFile() {
    place_.folder = folder_.path();
    spec_.feed = "demo";
    spec_.venue = "bybit-linear";
    spec_.capacity = 1024;
    spec_.instruments = instruments_;
  }

  [[nodiscard]] std::string path() const { return place_.segment("demo"); }

  static std::string failure(const SegmentSpec &spec, const SegmentPlace &place) {
    try {
      (void)ProducerSegment::open(spec, place);
    } catch (const Error &error) {
      EXPECT_EQ(error.code(), ExitCode::Usage);
      return error.what();
    }
    return "";
  }

  test::TemporaryFolder folder_;
  SegmentPlace place_;
  std::vector<Instrument> instruments_{{"BTCUSDT", {1, 1}, {1, 3}}, {"ETHUSDT", {1, 2}, {1, 2}}};
  SegmentSpec spec_;
};

TEST_F(SegmentFile, IsCreatedWholeWithItsMode) {
  const auto segment = ProducerSegment::open(spec_, place_);
  EXPECT_FALSE(segment.continued());
  EXPECT_EQ(segment.replaced(), "");
  struct stat info{};
  ASSERT_EQ(stat(path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0640U);
  EXPECT_EQ(segment_unreadable(segment.view(), static_cast<std::uint64_t>(info.st_size)), "");
  EXPECT_STREQ(segment.view().header().feed, "demo");
  EXPECT_STREQ(segment.view().directory()[1].name, "ETHUSDT");
  EXPECT_EQ(folder_.files(), 2U) << "segment and lock, nothing temporary";
}

/// Bytes of the mapping around an address that the kernel maps by huge pages.
std::uint64_t huge_bytes_at(const void *address) {
  std::ifstream smaps("/proc/self/smaps");
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  bool here = false;
  for (std::string line; std::getline(smaps, line);) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx", &begin, &end) == 2)
      here = begin <= wanted && wanted < end;
    unsigned long kib = 0;
    if (here && std::sscanf(line.c_str(), "ShmemPmdMapped: %lu", &kib) == 1)
      return std::uint64_t{kib} << 10U;
  }
  return 0;
}

TEST_F(SegmentFile, SaysTruthfullyWhatPagesItGot) {
  place_.folder = "/dev/shm";
  spec_.feed = "pages-test-" + std::to_string(getpid());
  spec_.capacity = 131072; // 8 MiB of slots
  std::string text;
  std::uint64_t huge = 0;
  {
    const auto segment = ProducerSegment::open(spec_, place_);
    text = segment.pages();
    huge = huge_bytes_at(segment.view().base());
    RingWriter writer(segment.view());
    writer.push({});
  }
  unlink(place_.segment(spec_.feed).c_str());
  unlink(place_.lock(spec_.feed).c_str());
  if (text.find("MADV_COLLAPSE") != std::string::npos)
    EXPECT_EQ(huge, std::uint64_t{8} << 20U) << text;
  else
    EXPECT_NE(text.find("plain pages ("), std::string::npos) << text;
  RecordProperty("pages", text);
}

TEST_F(SegmentFile, ASmallRingHasPlainPagesAndSaysWhy) {
  const auto segment = ProducerSegment::open(spec_, place_);
  EXPECT_EQ(segment.pages(), "1 MiB in plain pages (smaller than one huge page)");
}

TEST_F(SegmentFile, OnlyOneProducerIsElected) {
  std::optional<ProducerSegment> first = ProducerSegment::open(spec_, place_);
  const std::string why = failure(spec_, place_);
  EXPECT_NE(why.find("has a producer already"), std::string::npos) << why;
  EXPECT_NE(why.find(std::to_string(getpid())), std::string::npos) << why;
  first.reset();
  EXPECT_EQ(failure(spec_, place_), "");
}

TEST_F(SegmentFile, TheSameSpecContinuesTheSameFile) {
  struct stat before{};
  {
    const auto segment = ProducerSegment::open(spec_, place_);
    RingWriter writer(segment.view());
    writer.push({});
    ASSERT_EQ(stat(path().c_str(), &before), 0);
  }
  const auto segment = ProducerSegment::open(spec_, place_);
  EXPECT_TRUE(segment.continued());
  const RingWriter writer(segment.view());
  EXPECT_EQ(writer.next(), 2U);
  EXPECT_EQ(writer.epoch(), 2U);
  struct stat after{};
  ASSERT_EQ(stat(path().c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST_F(SegmentFile, AnotherLayoutIsANewFileAndTheOldOneIsClosed) {
  std::optional<ProducerSegment> first = ProducerSegment::open(spec_, place_);
  const Mapping reader = map_segment_for_reading("demo", place_);
  first.reset();
  EXPECT_EQ(SegmentView(reader.data()).header().closed, 0U);

  const auto check = [&](const std::string &why) {
    const auto segment = ProducerSegment::open(spec_, place_);
    EXPECT_FALSE(segment.continued());
    EXPECT_NE(segment.replaced().find(why), std::string::npos) << segment.replaced();
    EXPECT_EQ(segment.view().header().closed, 0U);
  };
  spec_.capacity = 2048;
  check("capacity 1024, not 2048");
  EXPECT_EQ(SegmentView(reader.data()).header().closed, 1U) << "a reader of the old one is told";
  spec_.ladder_depth = 10;
  check("ladder depth 20, not 10");
  instruments_[1].tick = {5, 2};
  check("tick or lot size of ETHUSDT");
  instruments_[0].name = "XRPUSDT";
  check("symbol 0 BTCUSDT, not XRPUSDT");
  spec_.venue = "binance-usdm";
  check("venue bybit-linear, not binance-usdm");
  EXPECT_EQ(folder_.files(), 2U);
}

TEST_F(SegmentFile, AnotherVersionIsReplacedByProducersAndRefusedByReaders) {
  const auto damage = [&](auto change) {
    const int fd = ::open(path().c_str(), O_RDWR);
    Mapping mapping(fd, 4096, true, path());
    change(SegmentView(mapping.data()).header());
    ::close(fd);
  };
  const auto refused = [&]() -> std::string {
    try {
      (void)map_segment_for_reading("demo", place_);
    } catch (const Error &error) {
      return error.what();
    }
    return "";
  };
  (void)ProducerSegment::open(spec_, place_);
  EXPECT_EQ(refused(), "");
  damage([](shm::Header &header) { header.version = 99; });
  EXPECT_NE(refused().find("version 99, not " + std::to_string(shm::kVersion)), std::string::npos)
      << refused();
  EXPECT_NE(ProducerSegment::open(spec_, place_).replaced().find("version 99"), std::string::npos);
  EXPECT_EQ(refused(), "");
  damage([](shm::Header &header) { header.schema_hash ^= 1; });
  EXPECT_NE(refused().find("another schema"), std::string::npos) << refused();
  (void)ProducerSegment::open(spec_, place_);
  damage([](shm::Header &header) { header.magic = 0; });
  EXPECT_NE(refused().find("wrong magic"), std::string::npos) << refused();
  (void)ProducerSegment::open(spec_, place_);
  damage([](shm::Header &header) { header.capacity = 1ULL << 40U; });
  EXPECT_NE(refused().find("capacity"), std::string::npos) << refused();
  (void)ProducerSegment::open(spec_, place_);
  damage([](shm::Header &header) { header.slots_offset += 64; });
  EXPECT_NE(refused().find("offsets"), std::string::npos) << refused();
  (void)ProducerSegment::open(spec_, place_);
  ASSERT_EQ(truncate(path().c_str(), 8192), 0);
  EXPECT_NE(refused().find("file size 8192"), std::string::npos) << refused();
  ASSERT_EQ(truncate(path().c_str(), 100), 0);
  EXPECT_NE(refused().find("only 100 bytes"), std::string::npos) << refused();
  ASSERT_EQ(truncate(path().c_str(), 0), 0);
  EXPECT_NE(refused().find("empty"), std::string::npos) << refused();
  EXPECT_EQ(ProducerSegment::open(spec_, place_).replaced(), "it was empty");
  EXPECT_EQ(refused(), "");
  EXPECT_EQ(folder_.files(), 2U);
}

TEST_F(SegmentFile, AClosedSegmentIsNotContinued) {
  {
    const auto segment = ProducerSegment::open(spec_, place_);
    segment.view().header().closed = 1;
  }
  EXPECT_EQ(ProducerSegment::open(spec_, place_).replaced(), "it was closed");
}

TEST_F(SegmentFile, NoSpaceIsSaidBeforeAnythingIsWritten) {
  struct statvfs room{};
  ASSERT_EQ(statvfs(folder_.path().c_str(), &room), 0);
  spec_.capacity = kMaxCapacity; // 256 GiB
  if (static_cast<std::uint64_t>(room.f_bavail) * room.f_frsize > spec_.capacity * sizeof(shm::Slot))
    GTEST_SKIP() << "this machine has room for the largest ring";
  const std::string why = failure(spec_, place_);
  EXPECT_NE(why.find("no space for the ring"), std::string::npos) << why;
  EXPECT_NE(why.find("ring.capacity"), std::string::npos) << why;
  EXPECT_EQ(folder_.files(), 1U) << "only the lock";
}

TEST_F(SegmentFile, AMissingRingIsSaid) {
  try {
    (void)map_segment_for_reading("absent", place_);
    FAIL();
  } catch (const Error &error) {
    EXPECT_NE(std::string(error.what()).find("quietcore.absent"), std::string::npos);
  }
}

TEST_F(SegmentFile, AnUnwritablePlaceIsSaid) {
  place_.folder = folder_.path() + "/not-there";
  EXPECT_NE(failure(spec_, place_).find("lock file cannot be opened"), std::string::npos);
}

} // namespace
} // namespace quietcore
