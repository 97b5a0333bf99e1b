#include "quietcore/time_stamps.hpp"

#include "quietcore/clock.hpp"
#include "quietcore/socket_settings.hpp"

#include <array>
#include <chrono>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

namespace quietcore {
namespace {

using shm::TimeSource;

constexpr std::int64_t kNow = 1'700'000'000'000'000'000;

TEST(TimeStamps, TheCardsCountsWhereItGoesWithTheHosts) {
  const ReceiveTime best = choose_stamp(kNow, kNow - 40'000);
  EXPECT_EQ(best.ns, kNow - 40'000);
  EXPECT_EQ(best.source, TimeSource::HARDWARE);
  EXPECT_FALSE(best.card_disagrees);
}

TEST(TimeStamps, AClockOfItsOwnDoesNotCount) {
  // A card that nobody set counts from when it was switched on; one set to TAI is 37 s ahead.
  for (const std::int64_t card : {std::int64_t{5'000'000'000}, kNow + 37'000'000'000, kNow - 11'000'000}) {
    const ReceiveTime time = choose_stamp(kNow, card);
    EXPECT_EQ(time.ns, kNow);
    EXPECT_EQ(time.source, TimeSource::KERNEL);
    EXPECT_TRUE(time.card_disagrees);
  }
}

TEST(TimeStamps, OneAloneAndNone) {
  EXPECT_EQ(choose_stamp(kNow, 0).source, TimeSource::KERNEL);
  EXPECT_EQ(choose_stamp(0, 0).source, TimeSource::NONE);
  // Nothing to judge the card by.
  EXPECT_EQ(choose_stamp(0, kNow).source, TimeSource::NONE);
  EXPECT_TRUE(choose_stamp(0, kNow).card_disagrees);
}

TEST(TimeStamps, InWords) {
  EXPECT_STREQ(in_words(TimeSource::HARDWARE), "the network card");
  EXPECT_STREQ(in_words(TimeSource::KERNEL), "the kernel");
  EXPECT_STREQ(in_words(TimeSource::USER), "this process");
}

/// A UDP socket bound to a port of the loopback device.
class Loopback : public ::testing::Test {
protected:
  void SetUp() override {
    ASSERT_GE(socket_, 0);
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address_);
    ASSERT_EQ(bind(socket_, reinterpret_cast<sockaddr *>(&address_), size), 0);
    ASSERT_EQ(getsockname(socket_, reinterpret_cast<sockaddr *>(&address_), &size), 0);
  }
  void TearDown() override { close(socket_); }

  void send() {
    ASSERT_EQ(sendto(socket_, "x", 1, 0, reinterpret_cast<sockaddr *>(&address_), sizeof(address_)), 1);
    pollfd ready{.fd = socket_, .events = POLLIN, .revents = 0};
    ASSERT_EQ(poll(&ready, 1, 10'000), 1);
  }
  ReceiveTime receive() {
    std::array<char, 16> bytes{};
    iovec part{bytes.data(), bytes.size()};
    alignas(cmsghdr) std::array<std::byte, kStampBytes> control;
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    EXPECT_EQ(recvmsg(socket_, &message, 0), 1);
    return stamp_of(message);
  }

  int socket_ = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in address_{};
};

TEST_F(Loopback, TheKernelStampsWhenThePacketCame) {
  ASSERT_EQ(ask_time_stamps(socket_, TimeStamps::Best), "");
  ReceiveTime time;
  std::int64_t before = 0;
  std::int64_t came = 0;
  for (int i = 0; i < 200 && time.source == TimeSource::NONE; ++i) {
    before = realtime_ns();
    send();
    came = realtime_ns();
    usleep(1000);
    time = receive();
  }
  if (time.source == TimeSource::NONE)
    GTEST_SKIP() << "this kernel stamps no packets of the loopback device";
  EXPECT_EQ(time.source, TimeSource::KERNEL);
  EXPECT_GE(time.ns, before);
  EXPECT_LE(time.ns, came);
}

TEST_F(Loopback, WithoutAskingThereIsNone) {
  ASSERT_EQ(ask_time_stamps(socket_, TimeStamps::None), "");
  send();
  EXPECT_EQ(receive().source, TimeSource::NONE);
}

TEST_F(Loopback, SettingsAreReadBack) {
  const SocketGrants grants =
      ask_kernel(socket_, {.receive_buffer = 65'536, .busy_poll_us = 0, .time_stamps = TimeStamps::Kernel});
  EXPECT_EQ(grants.got, "receive buffer 131072 bytes, no busy polling, time stamps of the kernel");
  EXPECT_TRUE(grants.refused.empty());
}

TEST(SocketSettings, WhatIsRefusedIsNamedWithItsRemedy) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0); // no socket at all
  const SocketGrants grants =
      ask_kernel(ends[0], {.receive_buffer = 1000, .busy_poll_us = 50, .time_stamps = TimeStamps::Best});
  ASSERT_EQ(grants.refused.size(), 3U);
  EXPECT_NE(grants.refused[0].find("net.core.rmem_max"), std::string::npos);
  EXPECT_NE(grants.refused[1].find("CAP_NET_ADMIN"), std::string::npos);
  EXPECT_NE(grants.refused[2].find("SO_TIMESTAMPING"), std::string::npos);
  EXPECT_NE(grants.got.find("time stamps of this process"), std::string::npos);
  close(ends[0]);
  close(ends[1]);
}

} // namespace
} // namespace quietcore
