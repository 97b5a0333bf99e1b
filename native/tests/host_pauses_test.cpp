#include "quietcore/host_pauses.hpp"

#include <gtest/gtest.h>

namespace quietcore {
namespace {

using namespace std::chrono_literals;

const Url kServer = Url::parse("https://api.venue.com", "http", "test");
const HostPauses::Clock::time_point kStart{1000s};

Refusal dictated(std::chrono::milliseconds pause) { return {true, pause, "HTTP 429"}; }
const Refusal kMute{true, {}, "HTTP 429"};

TEST(HostPauses, OnePauseForAllThatIsAskedThere) {
  HostPauses pauses;
  EXPECT_EQ(pauses.left(kServer, kStart), 0s);
  EXPECT_EQ(pauses.refused(kServer, dictated(30s), kStart), 30s);
  EXPECT_EQ(pauses.left(Url::parse("wss://API.venue.com/x", "ws", "test"), kStart + 10s), 20s);
  EXPECT_EQ(pauses.left(Url::parse("https://stream.venue.com", "http", "test"), kStart), 0s);
  EXPECT_EQ(pauses.left(Url::parse("http://api.venue.com:8080", "http", "test"), kStart), 0s);
  EXPECT_EQ(pauses.left(kServer, kStart + 30s), 0s);
}

TEST(HostPauses, AShorterOneDoesNotEndALongerOne) {
  HostPauses pauses;
  (void)pauses.refused(kServer, dictated(600s), kStart);
  EXPECT_EQ(pauses.refused(kServer, dictated(5s), kStart + 1s), 599s);
  EXPECT_EQ(pauses.refused(kServer, kMute, kStart + 1s), 599s);
}

TEST(HostPauses, WhereNothingIsDictatedTheyDouble) {
  HostPauses pauses;
  auto now = kStart;
  for (const auto expected : {1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s}) {
    EXPECT_EQ(pauses.refused(kServer, kMute, now), expected);
    EXPECT_EQ(pauses.refused(kServer, kMute, now), expected) << "was under way when the pause began";
    now += expected;
  }
  pauses.answered(kServer);
  EXPECT_EQ(pauses.refused(kServer, kMute, now), 1s);
  EXPECT_EQ(pauses.refused(kServer, dictated(0s), now + 1s), 2s) << "an invitation to come back at once";
}

TEST(HostPauses, AFinalRefusalMakesNone) {
  HostPauses pauses;
  EXPECT_EQ(pauses.refused(kServer, {false, {}, "HTTP 404"}, kStart), 0s);
}

} // namespace
} // namespace quietcore
