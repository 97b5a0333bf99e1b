#include "quietcore/feed_config.hpp"

#include "quietcore/command_line.hpp"
#include "quietcore/error.hpp"
#include "quietcore/printable_text.hpp"
#include "quietcore/segment.hpp"
#include "quietcore/url.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <filesystem>
#include <toml++/toml.h>

namespace quietcore {
namespace {

constexpr std::int64_t kMaxCpu = 4095;

/// One table of a file; every key must be asked for, or it is unknown.
class Table {
public:
  Table(const toml::table &table, std::string file, std::string prefix)
      : table_(table), file_(std::move(file)), prefix_(std::move(prefix)) {}

  [[nodiscard]] std::string where(std::string_view key) const {
    const toml::node *node = table_.get(key);
    const auto line = node != nullptr ? node->source().begin.line : table_.source().begin.line;
    return file_ + ":" + std::to_string(line) + ": " + prefix_ + std::string(key);
  }

  void text(std::string_view key, std::string &out) {
    if (const toml::node *node = take(key))
      out = typed<std::string>(*node, key, "a string");
  }

  void truth(std::string_view key, bool &out) {
    if (const toml::node *node = take(key))
      out = typed<bool>(*node, key, "true or false");
  }

  template <typename Number>
  void number(std::string_view key, Number &out, std::int64_t low, std::int64_t high) {
    const toml::node *node = take(key);
    if (node == nullptr)
      return;
    const auto value = typed<std::int64_t>(*node, key, "a whole number");
    if (value < low || value > high)
      throw Error({.what = "value not usable",
                   .where = where(key),
                   .found = std::to_string(value),
                   .expected = std::to_string(low) + " to " + std::to_string(high)});
    out = static_cast<Number>(value);
  }

  void texts(std::string_view key, std::vector<std::string> &out) {
    const toml::node *node = take(key);
    if (node == nullptr)
      return;
    const toml::array *array = node->as_array();
    if (array == nullptr)
      throw wrong_type(*node, key, "a list of strings");
    out.clear();
    for (const toml::node &item : *array) {
      const auto value = item.value_exact<std::string>();
      if (!value)
        throw wrong_type(item, key, "a list of strings");
      out.push_back(*value);
    }
  }

  /// Seconds, with or without a fraction.
  template <typename Duration> void seconds(std::string_view key, Duration &out, double low, double high) {
    const toml::node *node = take(key);
    if (node == nullptr)
      return;
    const auto whole = node->value_exact<std::int64_t>();
    const double value =
        whole ? static_cast<double>(*whole) : typed<double>(*node, key, "a number of seconds");
    if (!(value >= low && value <= high))
      throw Error({.what = "value not usable",
                   .where = where(key),
                   .found = std::to_string(value),
                   .expected = std::to_string(low) + " to " + std::to_string(high) + " seconds"});
    out = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(value));
  }

  /// A string or a whole number, as text.
  void text_or_number(std::string_view key, std::string &out) {
    const toml::node *node = take(key);
    if (node == nullptr)
      return;
    if (const auto value = node->value_exact<std::int64_t>())
      out = std::to_string(*value);
    else
      out = typed<std::string>(*node, key, "\"plan\" or a CPU number");
  }

  [[nodiscard]] const toml::table *table(std::string_view key) {
    const toml::node *node = take(key);
    if (node == nullptr)
      return nullptr;
    if (const toml::table *inner = node->as_table())
      return inner;
    throw wrong_type(*node, key, "a table");
  }

  void refuse_unknown() const {
    for (const auto &[key, node] : table_) {
      const std::string name(key.str());
      if (std::find(known_.begin(), known_.end(), name) != known_.end())
        continue;
      std::string expected;
      for (const std::string &known : known_)
        expected += (expected.empty() ? "one of " : ", ") + known;
      throw Error({.what = "unknown key",
                   .where = where(name),
                   .expected = expected,
                   .remedy = "correct or remove it"});
    }
  }

private:
  const toml::node *take(std::string_view key) {
    known_.emplace_back(key);
    return table_.get(key);
  }

  template <typename Type>
  [[nodiscard]] Type typed(const toml::node &node, std::string_view key, const char *expected) const {
    if (const auto value = node.value_exact<Type>())
      return *value;
    throw wrong_type(node, key, expected);
  }

  [[nodiscard]] Error wrong_type(const toml::node &node, std::string_view key, const char *expected) const {
    std::string found = "another type";
    if (node.is_string())
      found = "a string";
    else if (node.is_integer())
      found = "a whole number";
    else if (node.is_floating_point())
      found = "a number with a fraction";
    else if (node.is_boolean())
      found = "a truth value";
    else if (node.is_array())
      found = "a list";
    else if (node.is_table())
      found = "a table";
    return Error({.what = "wrong type", .where = where(key), .found = found, .expected = expected});
  }

  const toml::table &table_;
  std::string file_;
  std::string prefix_;
  std::vector<std::string> known_;
};

} // namespace

CpuWish CpuWish::parse(const std::string &text, const std::string &where) {
  if (text == "plan")
    return {Kind::Plan, -1};
  int number = 0;
  const char *end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || at != end || number < -1 || number > kMaxCpu)
    throw Error({.what = "CPU not usable",
                 .where = where,
                 .found = "\"" + text + "\"",
                 .expected = "\"plan\", a CPU number, or -1 for no pinning"});
  return number == -1 ? CpuWish{} : CpuWish{Kind::Number, number};
}

Wait parse_wait(const std::string &text, const std::string &where) {
  if (text == "nap")
    return Wait::Nap;
  if (text == "spin")
    return Wait::Spin;
  throw Error({.what = "way to wait not known",
               .where = where,
               .found = "\"" + text + "\"",
               .expected = "nap or spin"});
}

TimeStamps parse_time_stamps(const std::string &text, const std::string &where) {
  if (text == "best")
    return TimeStamps::Best;
  if (text == "kernel")
    return TimeStamps::Kernel;
  if (text == "none")
    return TimeStamps::None;
  throw Error({.what = "time stamps not known",
               .where = where,
               .found = "\"" + text + "\"",
               .expected = "best, kernel or none"});
}

void set_streams(Subscription &subscription, const std::vector<std::string> &names,
                 const std::string &where) {
  subscription.book = false;
  subscription.trade = false;
  subscription.ticker = false;
  for (const std::string &name : names) {
    if (name == "book")
      subscription.book = true;
    else if (name == "trade")
      subscription.trade = true;
    else if (name == "ticker")
      subscription.ticker = true;
    else
      throw Error({.what = "stream not known",
                   .where = where,
                   .found = "\"" + name + "\"",
                   .expected = "book, trade, ticker"});
  }
  if (names.empty())
    throw Error({.what = "no streams", .where = where, .expected = "at least one of book, trade, ticker"});
}

void check_receive(const std::string &way, const std::string &where) {
  if (way == "socket")
    return;
  std::string needs;
  if (way == "af_xdp")
    needs = "an XDP program, a queue of the network card for it and CAP_NET_RAW, CAP_BPF, and a TCP stack of "
            "its own";
  else if (way == "dpdk")
    needs = "the network card bound to vfio-pci, huge pages, and a TCP stack of its own";
  else if (way == "io_uring")
    needs = "Linux 6.0 for multishot receive, and a kernel that lets ordinary users have io_uring";
  if (needs.empty())
    throw Error({.what = "way to receive not known",
                 .where = where,
                 .found = "\"" + way + "\"",
                 .expected = "socket (af_xdp, dpdk and io_uring are known, and not built)"});
  throw Error({.what = "way to receive not built",
               .where = where,
               .found = "\"" + way + "\", which needs " + needs,
               .expected = "socket",
               .remedy = "set receive = \"socket\" or leave it out"});
}

void FeedConfig::read_file(const std::string &path) {
  toml::table root;
  try {
    root = toml::parse_file(path);
  } catch (const toml::parse_error &error) {
    const auto line = error.source().begin.line;
    throw Error({.what = "configuration not readable",
                 .where = line != 0 ? path + ":" + std::to_string(line) : path,
                 .found = std::string(error.description()),
                 .expected = "a TOML file"});
  }
  Table top(root, path, "");
  top.text("venue", venue);
  top.text("websocket", websocket);
  top.text("rest", rest);
  top.text("websocket_b", second.websocket);
  top.text("rest_b", second.rest);
  top.text("control", control);
  top.texts("symbols", subscription.symbols);
  top.number("depth", subscription.depth, 1, 100'000);
  top.truth("retired_depths", retired_depths);
  std::vector<std::string> streams{"book", "trade", "ticker"};
  top.texts("streams", streams);
  set_streams(subscription, streams, top.where("streams"));
  top.text("tls_ca", tls_ca);
  std::string cpu_text = "-1";
  top.text_or_number("cpu", cpu_text);
  cpu = CpuWish::parse(cpu_text, top.where("cpu"));
  top.text("plan", plan);
  std::string wait_text = "nap";
  top.text("wait", wait_text);
  wait = parse_wait(wait_text, top.where("wait"));
  std::string receive = "socket";
  top.text("receive", receive);
  check_receive(receive, top.where("receive"));
  if (const toml::table *given = top.table("connection")) {
    Table inner(*given, path, "connection.");
    constexpr double kHour = 3600;
    inner.seconds("idle_timeout", connection.idle_timeout, 0.2, kHour);
    inner.seconds("retry_first", connection.retry_first, 0.01, kHour);
    inner.seconds("retry_limit", connection.retry_limit, 0.01, kHour);
    inner.seconds("resync_first", connection.resync_first, 0.01, kHour);
    inner.seconds("resync_limit", connection.resync_limit, 0.01, kHour);
    inner.seconds("stale_after", connection.stale_after, 0, kHour);
    inner.seconds("switch_timeout", connection.switch_timeout, 0.1, kHour);
    inner.seconds("lifetime", connection.lifetime, 0, 30 * 24 * kHour);
    inner.seconds("refresh", connection.refresh, 0, 30 * 24 * kHour);
    inner.refuse_unknown();
  }
  if (const toml::table *given = top.table("socket")) {
    Table inner(*given, path, "socket.");
    inner.number("receive_buffer", socket.receive_buffer, 0, 1 << 30);
    inner.number("busy_poll_us", socket.busy_poll_us, 0, 1'000'000);
    std::string stamps = "best";
    inner.text("time_stamps", stamps);
    socket.time_stamps = parse_time_stamps(stamps, inner.where("time_stamps"));
    inner.refuse_unknown();
  }
  if (const toml::table *given = top.table("multicast")) {
    Table inner(*given, path, "multicast.");
    inner.text("feed", multicast.feed);
    inner.text("group", multicast.group);
    inner.text("snapshots", multicast.snapshots);
    inner.text("interface", multicast.interface);
    inner.number("receive_buffer", multicast.receive_buffer, 1 << 12, 1 << 30);
    inner.seconds("patience", multicast.patience, 0, 1);
    inner.seconds("silence", multicast.silence, 0.2, 3600);
    inner.refuse_unknown();
  }
  if (const toml::table *given = top.table("recorder")) {
    Table inner(*given, path, "recorder.");
    constexpr std::int64_t kMebibyte = 1 << 20;
    constexpr std::int64_t kTebibyte = std::int64_t{1} << 40;
    std::int64_t buffer = static_cast<std::int64_t>(recorder.buffer) / kMebibyte;
    std::int64_t rotate = static_cast<std::int64_t>(recorder.rotate_bytes) / kMebibyte;
    std::int64_t keep = 0;
    inner.text("folder", recorder.folder);
    inner.number("buffer_mib", buffer, 1, 16'384);
    inner.number("rotate_mib", rotate, 1, kTebibyte / kMebibyte);
    inner.number("keep_mib", keep, 0, kTebibyte);
    inner.seconds("rotate_after", recorder.rotate_after, 1, 366.0 * 24 * 3600);
    std::string recorder_cpu_text = "-1";
    inner.text_or_number("cpu", recorder_cpu_text);
    recorder_cpu = CpuWish::parse(recorder_cpu_text, inner.where("cpu"));
    inner.refuse_unknown();
    recorder.buffer = static_cast<std::size_t>(buffer * kMebibyte);
    recorder.rotate_bytes = static_cast<std::uint64_t>(rotate * kMebibyte);
    recorder.keep_bytes = static_cast<std::uint64_t>(keep) * kMebibyte;
  }
  if (const toml::table *ring = top.table("ring")) {
    Table inner(*ring, path, "ring.");
    inner.number("capacity", capacity, static_cast<std::int64_t>(kMinCapacity),
                 static_cast<std::int64_t>(kMaxCapacity));
    inner.number("ladder_depth", ladder_depth, 1, kMaxLadderDepth);
    inner.text("group", group);
    inner.refuse_unknown();
  }
  top.refuse_unknown();
  feed = std::filesystem::path(path).stem().string();
}

void FeedConfig::check_depth(const Venue &venue_rules, const std::string &where) const {
  const auto has = [&](std::span<const std::uint32_t> depths) {
    return std::find(depths.begin(), depths.end(), subscription.depth) != depths.end();
  };
  const auto depths = venue_rules.depths();
  const bool retired = has(venue_rules.retired_depths());
  if (depths.empty() || has(depths) || (retired && retired_depths))
    return;
  std::string offered;
  for (const std::uint32_t depth : depths) {
    if (!offered.empty())
      offered += ", ";
    offered += std::to_string(depth);
  }
  throw Error({.what = "depth not offered by " + std::string(venue_rules.name()),
               .where = where,
               .found = std::to_string(subscription.depth) + (retired ? ", which it offered once" : ""),
               .expected = offered,
               .remedy = retired ? "choose one of these; for a simulator that plays an old recording, set "
                                   "retired_depths (--retired-depths)"
                                 : "choose one of these"});
}

void FeedConfig::check(const Venue &venue_rules, const std::string &where) const {
  check_feed_name(feed, where);
  if (venue_rules.transport() == Transport::Multicast) {
    check_feed_name(multicast.feed, where + ": multicast.feed");
  } else {
    (void)Url::parse(websocket, "ws", where + ": websocket");
    (void)Url::parse(rest, "http", where + ": rest");
  }
  if (!second.websocket.empty())
    (void)Url::parse(second.websocket, "ws", where + ": websocket_b");
  if (!second.rest.empty())
    (void)Url::parse(second.rest, "http", where + ": rest_b");
  if (!std::has_single_bit(capacity) || capacity < kMinCapacity || capacity > kMaxCapacity)
    throw Error({.what = "ring capacity not usable",
                 .where = where,
                 .found = std::to_string(capacity),
                 .expected = "a power of two from 1024"});
  check_depth(venue_rules, where);
  for (const std::string &symbol : subscription.symbols) {
    if (symbol.empty() || symbol.size() > kMaxSymbolBytes ||
        printable_text(symbol, kMaxSymbolBytes) != symbol)
      throw Error({.what = "symbol not usable",
                   .where = where,
                   .found = "\"" + printable_text(symbol) + "\"",
                   .expected = "1 to " + std::to_string(kMaxSymbolBytes) +
                               " bytes of UTF-8 without control characters, as the venue spells it"});
    if (std::count(subscription.symbols.begin(), subscription.symbols.end(), symbol) > 1)
      throw Error({.what = "symbol named twice", .where = where, .found = symbol});
  }
}

} // namespace quietcore
