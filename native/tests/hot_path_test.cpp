// Between the receive call's return and the publication nothing allocates, locks or calls the kernel.
//
// A child process takes messages with the whole way from bytes to ring under a filter by which the kernel
// ends it at its first system call, while malloc and its kin, operator new and the mutex calls are counted.
// So it is where a message is refused, and where that is reported. The same check is shown to fail when one
// of each is put in.
#include "quietcore/clock.hpp"
#include "quietcore/feed_core.hpp"

#include "test_segment.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <dlfcn.h>
#include <functional>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <mutex>
#include <new>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

bool watching = false;
unsigned allocations = 0;
unsigned locks = 0;

void note_allocation() noexcept { allocations += watching ? 1U : 0U; }

} // namespace

// The linker takes these before the C library's; glibc keeps its own under these names.
extern "C" {
void *__libc_malloc(std::size_t);
void *__libc_calloc(std::size_t, std::size_t);
void *__libc_realloc(void *, std::size_t);
void __libc_free(void *);

void *malloc(std::size_t size) {
  note_allocation();
  return __libc_malloc(size);
}
void *calloc(std::size_t count, std::size_t size) {
  note_allocation();
  return __libc_calloc(count, size);
}
void *realloc(void *old, std::size_t size) {
  note_allocation();
  return __libc_realloc(old, size);
}
void free(void *memory) {
  if (memory != nullptr)
    note_allocation();
  __libc_free(memory);
}
}

namespace quietcore {
namespace {

using test::MemorySegment;
using test::Padded;

constexpr int kNoFilter = 77;
constexpr int kAllocated = 10;
constexpr int kLocked = 11;
constexpr int kTroubled = 12;
constexpr int kUnreported = 13;

/// From here on any system call but the one that ends the process kills it.
bool forbid_system_calls() {
#if defined(__x86_64__)
  constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
  constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
  constexpr std::uint32_t kArchitecture = 0;
#endif
  std::array<sock_filter, 6> filter{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  }};
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// Runs `work` in a child under watch; returns its wait status.
int watched(const std::function<int()> &work) {
  const pid_t child = fork();
  if (child == 0) {
    if (!forbid_system_calls())
      _exit(kNoFilter);
    watching = true;
    const int result = work();
    watching = false;
    _exit(allocations != 0 ? kAllocated : locks != 0 ? kLocked : result);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

std::string end_of(int status) {
  if (WIFSIGNALED(status))
    return "killed by signal " + std::to_string(WTERMSIG(status)) + " (31: a system call)";
  switch (WEXITSTATUS(status)) {
  case 0:
    return "clean";
  case kAllocated:
    return "allocated or freed memory";
  case kLocked:
    return "locked a mutex";
  case kTroubled:
    return "refused a message";
  default:
    if (const int status_of = WEXITSTATUS(status); status_of >= kUnreported && status_of < kNoFilter)
      return "did not report message " + std::to_string(status_of - kUnreported);
    return "exit status " + std::to_string(WEXITSTATUS(status));
  }
}

/// A core on a ring in memory that messages are fed to.
class Way {
public:
  Way(const char *venue, std::uint32_t window)
      : venue_(make_venue(venue)), segment_(4096, 20, {kInstrument}), ring_(segment_.view()),
        core_(*venue_, {kInstrument}, {20, {window}}, diagnostics_, &ring_), parser_(venue_->make_parser()) {}

  bool take(const Padded &message) {
    Receipt receipt;
    receipt.receive_ns = realtime_ns();
    receipt.source = shm::TimeSource::USER;
    receipt.symbol_hint = 0;
    const ParseResult result = core_.receive(*parser_, message.view(), receipt);
    core_.publish_cursor();
    return result.ok();
  }

  [[nodiscard]] const shm::Statistics &statistics() { return core_.statistics(); }
  [[nodiscard]] std::uint64_t reported() const { return diagnostics_.reported(); }

private:
  const Instrument kInstrument{"BTCUSDT", {1, 1}, {1, 3}};
  Diagnostics diagnostics_{};
  std::unique_ptr<Venue> venue_;
  MemorySegment segment_;
  RingWriter ring_;
  FeedCore core_;
  std::unique_ptr<Parser> parser_;
};

std::string bybit_book(const char *type, unsigned update, unsigned levels, unsigned shift) {
  const auto add = [&](std::string &side, unsigned price, const char *size) {
    side.append(side.empty() ? "[\"" : ",[\"").append(std::to_string(price)).append(".");
    side.append(std::to_string(shift % 10)).append("\",\"").append(size).append("\"]");
  };
  std::string bids;
  std::string asks;
  for (unsigned i = 0; i < levels; ++i) {
    add(bids, 71000 - i, "0.159");
    add(asks, 71001 + i, "12.5");
  }
  return R"({"topic":"orderbook.50.BTCUSDT","type":")" + std::string(type) +
         R"(","ts":1773386409407,"data":{"s":"BTCUSDT","b":[)" + bids + R"(],"a":[)" + asks + R"(],"u":)" +
         std::to_string(update) + R"(,"seq":)" + std::to_string(update) + R"(},"cts":1773386409404})";
}

std::vector<Padded> bybit_messages() {
  std::vector<Padded> out;
  out.emplace_back(bybit_book("snapshot", 1, 50, 0));
  for (unsigned i = 2; i < 40; ++i) {
    out.emplace_back(bybit_book("delta", i, i % 3 == 0 ? 1 : 30, i));
    if (i % 7 == 0) { // of a shape that only the general parser knows
      std::string spaced("{ ");
      spaced.append(bybit_book("delta", i, 3, i), 1);
      out.back() = Padded(spaced);
    }
  }
  out.emplace_back(bybit_book("snapshot", 1, 50, 3));
  out.emplace_back(
      R"({"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":5,"data":[{"T":5,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"71000.5","L":"PlusTick","i":"20f43950","BT":false}]})");
  out.emplace_back(R"({"topic":"tickers.BTCUSDT","type":"delta","ts":5,"data":{"symbol":"BTCUSDT"},"cs":1})");
  return out;
}

/// Deltas that follow each other from an update id on; the first ones behind a snapshot.
std::vector<Padded> binance_messages(unsigned from) {
  std::vector<Padded> out;
  const std::string stream = R"({"stream":"btcusdt@depth","data":)";
  if (from == 10)
    out.emplace_back(
        R"({"lastUpdateId":10,"bids":[["71000.5","1"],["71000.4","2"]],"asks":[["71000.9","1"]]})");
  for (unsigned u = from + 1; u <= from + 50; ++u)
    out.emplace_back(stream + R"({"e":"depthUpdate","E":5,"T":5,"s":"BTCUSDT","U":)" + std::to_string(u - 1) +
                     R"(,"u":)" + std::to_string(u) + R"(,"pu":)" + std::to_string(u - 1) +
                     R"(,"b":[["71000.)" + std::to_string(u % 6) + R"(",")" + std::to_string(u % 4) +
                     R"("]],"a":[["71001.0","0.5"]]}})");
  out.emplace_back(
      R"({"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":60,"s":"BTCUSDT","b":"71000.5","B":"1","a":"71000.9","A":"2","T":5,"E":5}})");
  out.emplace_back(
      R"({"stream":"btcusdt@trade","data":{"e":"trade","E":5,"T":5,"s":"BTCUSDT","t":7,"p":"71000.5","q":"0.1","X":"MARKET","m":true}})");
  return out;
}

/// Feeds some messages to warm up and others under watch, with something extra before the last.
std::string follow(const char *venue, std::uint32_t window, const std::vector<Padded> &first,
                   const std::vector<Padded> &messages, const std::function<void()> &extra = {}) {
  Way way(venue, window);
  for (const Padded &message : first)
    EXPECT_TRUE(way.take(message));
  const int status = watched([&] {
    const std::uint64_t before = way.statistics().ticks;
    for (const Padded &message : messages) {
      if (extra && &message == &messages.back())
        extra();
      if (!way.take(message))
        return kTroubled;
    }
    return way.statistics().ticks > before + 20 ? 0 : kTroubled;
  });
  return end_of(status);
}

/// Feeds messages under watch of which each is to be reported, one or several times.
std::string follow_trouble(const char *venue, std::uint32_t window, const std::vector<Padded> &first,
                           const std::vector<Padded> &troubled) {
  Way way(venue, window);
  for (const Padded &message : first)
    EXPECT_TRUE(way.take(message));
  const int status = watched([&] {
    for (const Padded &message : troubled) {
      const std::uint64_t before = way.reported();
      (void)way.take(message);
      if (way.reported() == before)
        return kUnreported + static_cast<int>(&message - troubled.data());
    }
    return 0;
  });
  return end_of(status);
}

/// Bybit's messages begin with a snapshot: the same ones may come again.
std::string follow_bybit(const std::function<void()> &extra = {}) {
  return follow("bybit-linear", 50, bybit_messages(), bybit_messages(), extra);
}

class HotPath : public ::testing::Test {
protected:
  void SetUp() override {
    if (const int status = watched([] { return 0; }); WIFEXITED(status) && WEXITSTATUS(status) == kNoFilter)
      GTEST_SKIP() << "the kernel takes no seccomp filter here";
  }
};

TEST_F(HotPath, BybitMessagesNeitherAllocateNorLockNorCallTheKernel) { EXPECT_EQ(follow_bybit(), "clean"); }

TEST_F(HotPath, BinanceMessagesNeitherAllocateNorLockNorCallTheKernel) {
  EXPECT_EQ(follow("binance-usdm", 0, binance_messages(10), binance_messages(60)), "clean");
}

std::string other(std::string text, const std::string &from, const std::string &to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST_F(HotPath, NorDoesABybitMessageThatIsReported) {
  const std::string delta = bybit_book("delta", 41, 3, 1);
  const std::string whole = bybit_book("snapshot", 50, 50, 1);
  std::vector<Padded> first = bybit_messages();
  first.emplace_back(bybit_book("snapshot", 40, 50, 0));
  const std::vector<Padded> troubled{
      Padded(other(delta, "\"u\":41", "\"u\":43")),                          // a gap
      Padded("{\"topic\":"),                                                 // no JSON
      Padded(other(other(whole, "BTCUSDT", "NOSUCH"), "BTCUSDT", "NOSUCH")), // a symbol unknown
      Padded(other(whole, "71000.1", "71000.15")),                           // between two ticks
      Padded(other(whole, "71000.1", "1234567890123456789012")),             // too large
      Padded(other(whole, "71001.1", "70000.1")),                            // crossed
  };
  EXPECT_EQ(follow_trouble("bybit-linear", 50, first, troubled), "clean");
}

TEST_F(HotPath, NorDoesABinanceMessageThatIsReported) {
  const std::string ticker =
      R"({"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":60,"s":"BTCUSDT","b":"71000.5","B":"1","a":"71000.9","A":"2","T":5,"E":5}})";
  const std::vector<Padded> troubled{
      Padded(other(ticker, "BTCUSDT", "NOSUCHSYMBOLWITHANAMEMUCHTOOLONGTOKEEP")),
      Padded(other(ticker, "71000.5", "71000.55")),
      Padded(other(ticker, "71000.5", "x")),
  };
  EXPECT_EQ(follow_trouble("binance-usdm", 0, binance_messages(10), troubled), "clean");
}

TEST_F(HotPath, AReportPutIntoWordsAtOnceIsSeen) {
  Diagnostics diagnostics;
  EXPECT_EQ(follow_bybit([&] { diagnostics.report(Trouble::Gap, {.what = "a gap in the book of BTCUSDT"}); }),
            "allocated or freed memory");
}

TEST_F(HotPath, AMessageThatIsNotReportedIsSeen) {
  EXPECT_EQ(follow_trouble("bybit-linear", 50, {}, bybit_messages()), "did not report message 0");
}

TEST_F(HotPath, AnAllocationIsSeen) {
  EXPECT_EQ(follow_bybit([] {
              auto *volatile memory = new std::uint64_t(7);
              delete memory;
            }),
            "allocated or freed memory");
}

TEST_F(HotPath, ALockIsSeen) {
  static std::mutex mutex;
  EXPECT_EQ(follow_bybit([] { const std::scoped_lock lock(mutex); }), "locked a mutex");
}

TEST_F(HotPath, ASystemCallIsSeen) {
  EXPECT_EQ(follow_bybit([] { (void)syscall(SYS_getpid); }), "killed by signal 31 (31: a system call)");
}

} // namespace
} // namespace quietcore

namespace {

using MutexCall = int (*)(pthread_mutex_t *);
MutexCall real_lock = nullptr;
MutexCall real_unlock = nullptr;

// Before the first thread; until then there is nobody to lock out.
[[gnu::constructor]] void find_the_real_ones() {
  real_lock = reinterpret_cast<MutexCall>(dlsym(RTLD_NEXT, "pthread_mutex_lock"));
  real_unlock = reinterpret_cast<MutexCall>(dlsym(RTLD_NEXT, "pthread_mutex_unlock"));
}

} // namespace

// Behind everything that locks on its own: counts, and calls the C library's.
extern "C" int pthread_mutex_lock(pthread_mutex_t *mutex) noexcept {
  locks += watching ? 1U : 0U;
  return real_lock == nullptr ? 0 : real_lock(mutex);
}
extern "C" int pthread_mutex_unlock(pthread_mutex_t *mutex) noexcept {
  return real_unlock == nullptr ? 0 : real_unlock(mutex);
}
