#include "quietcore/refusal.hpp"

#include <gtest/gtest.h>

namespace quietcore {
namespace {

using namespace std::chrono_literals;

const auto kNow = std::chrono::system_clock::from_time_t(1'784'000'000); // Tue, 14 Jul 2026 03:33:20 GMT

Refusal http(unsigned status, std::string_view retry_after = "", std::string_view body = "") {
  return Refusal::of_http(status, retry_after, body, kNow);
}

TEST(Refusal, TheOtherSideDictatesThePause) {
  EXPECT_EQ(http(429, "30").pause, 30s);
  EXPECT_EQ(http(418, " 120 ").pause, 120s);
  EXPECT_EQ(http(403, "5").pause, 5s);
  EXPECT_EQ(http(503, "Tue, 14 Jul 2026 03:34:20 GMT").pause, 60s);
  EXPECT_EQ(http(503, "Tue, 14 Jul 2026 03:30:00 GMT").pause, 0s) << "over already";
  EXPECT_EQ(http(418, "", R"({"code":-1003,"msg":"IP banned until 1784000090000."})").pause, 90s);
  EXPECT_EQ(http(418, "", R"({"code":-1003,"msg":"IP banned until 1573046400000."})").pause, 10min)
      << "a ban of the past says nothing";
}

TEST(Refusal, WithoutAWordTheDoorIsShutForTenMinutes) {
  EXPECT_EQ(http(403).pause, 10min);
  EXPECT_EQ(http(418).pause, 10min);
  EXPECT_FALSE(http(429).pause.has_value());
  EXPECT_FALSE(http(502).pause.has_value());
  for (const std::string_view nonsense : {"soon", "-5", "1.5", "0x10", "", "30 s"})
    EXPECT_FALSE(http(429, nonsense).pause.has_value()) << nonsense;
}

TEST(Refusal, NoPauseIsLongerThanTheLongestBan) {
  EXPECT_EQ(http(429, "99999999999999999999999").pause, 72h);
  EXPECT_EQ(http(429, "999999999").pause, 72h);
  EXPECT_EQ(http(418, "", "banned until 99999999999999999").pause, 72h);
}

TEST(Refusal, WhatPassesAndWhatDoesNot) {
  for (const unsigned status : {403U, 408U, 418U, 425U, 429U, 500U, 502U, 503U, 504U, 530U})
    EXPECT_TRUE(http(status).passing) << status;
  for (const unsigned status : {301U, 400U, 401U, 404U, 410U, 451U}) {
    EXPECT_FALSE(http(status, "30").passing) << status;
    EXPECT_FALSE(http(status, "30").pause.has_value()) << status;
  }
}

TEST(Refusal, TheStatusAndTheWordsAreShownInOneLine) {
  EXPECT_EQ(http(451, "", "Service unavailable from a restricted location\r\n\x1b[2J").text,
            "HTTP 451 Service unavailable from a restricted location [2J");
  EXPECT_EQ(http(403, "", "<html><h1>403</h1>\n<p>access too frequent</p></html>").text,
            "HTTP 403 403 access too frequent");
  EXPECT_EQ(http(502).text, "HTTP 502");
  EXPECT_LT(http(500, "", std::string(100'000, 'x')).text.size(), 250U);
}

} // namespace
} // namespace quietcore
