#include "quietcore/pcap.hpp"

#include "quietcore/error.hpp"
#include "quietcore/recording.hpp"

#include "temporary_folder.hpp"

#include <fstream>
#include <gtest/gtest.h>
#include <random>
#include <vector>

namespace quietcore {
namespace {

using pcap::Endpoint;

constexpr Endpoint kFrom{0x7f000001, 40'000};
constexpr Endpoint kTo{0xefff0001, 9001};

std::string framed(std::string_view payload) {
  std::vector<char> out(payload.size() + pcap::kFrameHead);
  const std::size_t size = pcap::frame(kFrom, kTo, std::as_bytes(std::span(payload)), out);
  return {out.data(), size};
}

std::string record(std::int64_t time, const std::string &frame) {
  return pcap::record_head(time, frame.size()) + frame;
}

/// All payloads of a file with these bytes, each behind its time.
std::vector<std::string> read_all(const test::TemporaryFolder &folder, const std::string &bytes,
                                  RecordingEnd &end, std::uint64_t *missing = nullptr) {
  const std::string path = folder.path() + "/capture.pcap";
  std::ofstream(path, std::ios::binary) << bytes;
  RecordingReader reader(path);
  RecordedLine line;
  std::vector<std::string> out;
  while (reader.next(line))
    out.push_back(std::to_string(line.receive_ns) + " " + std::string(line.message));
  end = reader.end();
  if (missing != nullptr)
    *missing = reader.missing();
  return out;
}

TEST(Pcap, WhatIsWrittenIsRead) {
  const test::TemporaryFolder folder;
  const std::string bytes = pcap::file_head() + record(1'700'000'000'123'456'789, framed("one")) +
                            pcap::remark(5, "# 17 messages are missing here: no reason") +
                            record(1'700'000'001'000'000'000, framed(std::string("\0\n# 2 messages", 14)));
  RecordingEnd end{};
  std::uint64_t missing = 0;
  const auto lines = read_all(folder, bytes, end, &missing);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0], "1700000000123456789 one");
  EXPECT_EQ(lines[1], std::string("1700000001000000000 \0\n# 2 messages", 34));
  EXPECT_EQ(end, RecordingEnd::Complete);
  EXPECT_EQ(missing, 17U);
}

TEST(Pcap, TheHeaderOfAFrameAddsUp) {
  const std::string frame = framed("payload");
  std::uint32_t sum = 0;
  for (std::size_t at = 0; at < 20; at += 2)
    sum += static_cast<std::uint32_t>(static_cast<unsigned char>(frame[at]) << 8U |
                                      static_cast<unsigned char>(frame[at + 1]));
  EXPECT_EQ((sum & 0xffffU) + (sum >> 16U), 0xffffU) << "the checksum of IPv4";
}

TEST(Pcap, OtherLinkTypesAndByteOrders) {
  const test::TemporaryFolder folder;
  const auto swapped = [](std::uint32_t number) {
    const std::uint32_t turned = __builtin_bswap32(number);
    return std::string(reinterpret_cast<const char *>(&turned), 4);
  };
  const std::string ip = framed("hello");
  const std::string addresses(12, '\x02');
  struct Case {
    std::uint32_t link;
    std::string frame;
  };
  const std::vector<Case> cases{
      {1, addresses + std::string("\x08\x00", 2) + ip + "padding"},
      {1, addresses + std::string("\x81\x00\x00\x07\x08\x00", 6) + ip},
      {101, ip},
      {228, ip},
      {113, std::string(14, '\0') + std::string("\x08\x00", 2) + ip},
      {276, std::string("\x08\x00", 2) + std::string(18, '\0') + ip},
  };
  for (const Case &each : cases) {
    // Microseconds, in the other byte order.
    const std::string bytes = swapped(0xa1b2c3d4) + swapped(2U << 16U | 4U) + swapped(0) + swapped(0) +
                              swapped(65535) + swapped(each.link) + swapped(7) + swapped(9) +
                              swapped(static_cast<std::uint32_t>(each.frame.size())) +
                              swapped(static_cast<std::uint32_t>(each.frame.size())) + each.frame;
    RecordingEnd end{};
    EXPECT_EQ(read_all(folder, bytes, end), (std::vector<std::string>{"7000009000 hello"})) << each.link;
    EXPECT_EQ(end, RecordingEnd::Complete);
  }
}

TEST(Pcap, OtherTrafficIsLeftOut) {
  const test::TemporaryFolder folder;
  std::string tcp = framed("x");
  tcp[9] = 6;
  std::string fragment = framed("x");
  fragment[6] = 0x20;
  std::string six = framed("x");
  six[0] = 0x65;
  std::string liar = framed("x");
  liar[25] = 100;
  RecordingEnd end{};
  const auto lines = read_all(folder,
                              pcap::file_head() + record(1, tcp) + record(2, fragment) + record(3, six) +
                                  record(4, liar) + record(5, "") + record(6, framed("y")),
                              end);
  EXPECT_EQ(lines, (std::vector<std::string>{"6 y"}));
}

TEST(Pcap, ACutFileSaysSo) {
  const test::TemporaryFolder folder;
  const std::string whole = pcap::file_head() + record(1, framed("one")) + record(2, framed("two"));
  const std::size_t first = pcap::kFileHead + pcap::kRecordHead + framed("one").size();
  for (std::size_t size = pcap::kFileHead; size <= whole.size(); ++size) {
    RecordingEnd end{};
    const auto lines = read_all(folder, whole.substr(0, size), end);
    const bool between = size == pcap::kFileHead || size == first || size == whole.size();
    EXPECT_EQ(end, between ? RecordingEnd::Complete : RecordingEnd::Truncated) << size;
    EXPECT_EQ(lines.size(), size == whole.size() ? 2U : size >= first ? 1U : 0U) << size;
  }
  std::string absurd = whole;
  absurd[first + 8 + 3] = '\x7f'; // two gigabytes of a record
  RecordingEnd end{};
  EXPECT_EQ(read_all(folder, absurd, end).size(), 1U);
  EXPECT_EQ(end, RecordingEnd::Truncated);
}

TEST(Pcap, WhatCannotBeReadIsRefused) {
  const test::TemporaryFolder folder;
  RecordingEnd end{};
  std::string wifi = pcap::file_head();
  wifi[20] = 105;
  EXPECT_THROW((void)read_all(folder, wifi, end), Error);
  EXPECT_THROW((void)read_all(folder, pcap::file_head().substr(0, 20), end), Error);
  EXPECT_THROW((void)read_all(folder, "\x0a\x0d\x0d\x0a" + std::string(40, '\0'), end), Error);
}

TEST(Pcap, AnyBytesAreReadWithinTheirBounds) {
  std::mt19937 random(3); // NOLINT: the same each time
  for (int i = 0; i < 20'000; ++i) {
    std::string frame = std::string(14, '\x08') + framed(std::string(random() % 40, 'x'));
    for (int flips = 0; flips < 3; ++flips)
      frame[random() % frame.size()] = static_cast<char>(random());
    frame.resize(random() % (frame.size() + 1));
    const std::vector<char> exact(frame.begin(), frame.end());
    for (const std::uint32_t link : {1U, 101U, 113U, 276U}) {
      const auto udp = pcap::read_udp({false, true, link}, {exact.data(), exact.size()});
      if (udp) {
        EXPECT_LE(udp->payload.data() + udp->payload.size(), exact.data() + exact.size());
      }
    }
  }
}

} // namespace
} // namespace quietcore
