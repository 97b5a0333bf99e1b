#include "quietcore/url.hpp"

#include "quietcore/error.hpp"

#include <gtest/gtest.h>

namespace quietcore {
namespace {

TEST(Url, TakesWhatUsersWrite) {
  const Url plain = Url::parse("ws://127.0.0.1:8760", "ws", "");
  EXPECT_FALSE(plain.tls());
  EXPECT_EQ(plain.host, "127.0.0.1");
  EXPECT_EQ(plain.port, "8760");
  EXPECT_EQ(plain.authority(), "127.0.0.1:8760");
  const Url secure = Url::parse("wss://stream.bybit.com/", "ws", "");
  EXPECT_TRUE(secure.tls());
  EXPECT_EQ(secure.port, "443");
  EXPECT_EQ(secure.path, "");
  EXPECT_EQ(secure.authority(), "stream.bybit.com");
  const Url prefixed = Url::parse("https://[::1]:8443/proxy/", "http", "");
  EXPECT_EQ(prefixed.host, "::1");
  EXPECT_EQ(prefixed.port, "8443");
  EXPECT_EQ(prefixed.path, "/proxy");
  EXPECT_EQ(prefixed.text(), "https://[::1]:8443/proxy");
}

TEST(Url, EncodesEveryByteThatIsReserved) {
  EXPECT_EQ(percent_encode("BTC-26DEC25_x.~"), "BTC-26DEC25_x.~");
  EXPECT_EQ(percent_encode("币安人生USDT"), "%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT");
  EXPECT_EQ(percent_encode("132766%3A2,x=1&y /?#@+"), "132766%253A2%2Cx%3D1%26y%20%2F%3F%23%40%2B");
  EXPECT_EQ(percent_encode(std::string_view("\0\n\x7f\xff", 4)), "%00%0A%7F%FF");
}

TEST(Url, RefusesTheRest) {
  for (const char *text :
       {"", "127.0.0.1", "ws://", "ws://:80", "ws://h:0", "ws://h:65536", "ws://h:x", "ws://[::1", "http://h",
        "ws://a b", "wss//h", "ws://user@h", "ws://h/a\r\nHost: x", "ws://h/a?b=c", "ws://h/a#b",
        "ws://h\x7f", "ws://höst", "ws://h/ä"})
    EXPECT_THROW((void)Url::parse(text, "ws", "here"), Error) << text;
}

} // namespace
} // namespace quietcore
