// SIGKILL between any two stores of a publication, then a takeover.
//
// A child writes to a shared segment and is followed instruction by instruction; wherever the segment's bytes
// have changed, another child is run to that very instruction and killed there. What it leaves is then read
// by a reader that was there before, and taken over by a new producer.
#include "quietcore/ring_reader.hpp"

#include "test_segment.hpp"

#include <array>
#include <csignal>
#include <cstring>
#include <functional>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace quietcore {
namespace {

constexpr std::uint64_t kCapacity = 8;
constexpr std::uint32_t kDepth = 3;
constexpr std::uint64_t kBefore = 11; ///< ticks published before the one that is broken off

Tick marked(std::uint64_t n) {
  const auto value = static_cast<std::int64_t>(n);
  Tick tick;
  tick.receive_ns = value;
  tick.a = value;
  tick.b = value;
  tick.c = value;
  tick.d = value;
  return tick;
}

const std::array<shm::Level, kDepth> kOld{{{30, 1}, {29, 1}, {28, 1}}};
const std::array<shm::Level, kDepth> kNew{{{50, 2}, {49, 2}, {48, 2}}};

/// A segment that children share.
class SharedSegment {
public:
  SharedSegment() {
    const test::MemorySegment made(kCapacity, kDepth);
    size_ = made.size();
    memory_ = static_cast<std::byte *>(
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    if (memory_ == MAP_FAILED)
      throw std::bad_alloc();
    std::memcpy(memory_, made.view().base(), size_);
    RingWriter writer(view());
    for (std::uint64_t n = 0; n < kBefore; ++n)
      writer.push(marked(n));
    writer.write_book(0, {.state = shm::State::LIVE, .tick = kBefore - 1, .update_id = 1}, kOld, kOld);
    writer.publish();
  }
  SharedSegment(const SharedSegment &) = delete;
  SharedSegment &operator=(const SharedSegment &) = delete;
  ~SharedSegment() { munmap(memory_, size_); }

  [[nodiscard]] SegmentView view() const { return SegmentView(memory_); }
  [[nodiscard]] std::vector<std::byte> bytes() const { return {memory_, memory_ + size_}; }
  void put(const std::vector<std::byte> &bytes) { std::memcpy(memory_, bytes.data(), size_); }

private:
  std::uint64_t size_ = 0;
  std::byte *memory_ = nullptr;
};

/// The producer goes on where it is: a child made by fork() has its writer.
class Work {
public:
  explicit Work(SegmentView view) : view_(view), writer_(resumed(view)) {}

  /// What a book message does: a LEVEL tick, the table, the BOOK tick, the cursor.
  void publication() {
    writer_.push(marked(first()));
    writer_.write_book(0, {.state = shm::State::LIVE, .tick = first() + 1, .update_id = 2}, kNew, kNew);
    writer_.push(marked(first() + 1));
    writer_.publish();
  }

  [[nodiscard]] std::uint64_t first() const { return first_; }

private:
  static RingWriter resumed(SegmentView view) { return RingWriter(view); }

  SegmentView view_;
  RingWriter writer_;
  std::uint64_t first_ = writer_.next();
};

/// Runs `steps` instructions of the work in a child and kills it; `at_each` sees the segment after every one.
/// False where the work ended before.
bool run_and_kill(Work &work, std::uint64_t steps, const std::function<void(std::uint64_t)> &at_each = {}) {
  const pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0)
      _exit(77);
    raise(SIGSTOP);
    work.publication();
    raise(SIGSTOP);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  bool running = WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP;
  for (std::uint64_t step = 0; running && step < steps; ++step) {
    if (ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) != 0) {
      running = false;
      break;
    }
    waitpid(child, &status, 0);
    running = WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP;
    if (running && at_each)
      at_each(step + 1);
  }
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  return running;
}

bool may_trace() {
  const pid_t child = fork();
  if (child == 0) {
    _exit(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// Ticks that a reader gets until there are no more; each must be whole and carry its own number, or be a
/// RESTART.
std::vector<std::uint64_t> drain(RingReader &reader) {
  std::vector<std::uint64_t> got;
  Tick tick;
  for (;;) {
    const std::uint64_t wanted = reader.next();
    const Poll poll = reader.poll(tick);
    if (poll == Poll::Empty)
      return got;
    if (poll == Poll::Overrun)
      continue;
    got.push_back(wanted);
    if (tick.kind == shm::Kind::RESTART)
      continue;
    const auto value = static_cast<std::int64_t>(wanted);
    EXPECT_EQ(tick.a, value);
    EXPECT_TRUE(tick.receive_ns == value && tick.b == value && tick.c == value && tick.d == value) << "torn";
  }
}

/// What must hold whatever was broken off.
void check_takeover(SegmentView view, std::uint64_t first) {
  RingReader old_reader(view);
  old_reader.seek(first - 2); // still in the ring, and not yet read
  const std::vector<std::uint64_t> before = drain(old_reader);
  ASSERT_GE(before.size(), 2U) << "what was complete stays readable";
  ASSERT_LE(old_reader.next(), first + 2) << "nothing that was never published";
  if (const auto book = old_reader.book(0, 10)) {
    EXPECT_TRUE(book->entry.update_id == 1 || book->entry.update_id == 2 || book->entry.update_id == 0);
    for (const auto &side : {book->bids, book->asks}) {
      for (std::size_t i = 0; i < side.size(); ++i) {
        const auto &wanted = book->entry.update_id == 2 ? kNew : kOld;
        EXPECT_EQ(side[i].price, wanted[i].price) << "a book of two halves";
      }
    }
  }
  const std::uint64_t epoch = view.header().epoch;
  RingWriter successor(view);
  EXPECT_EQ(successor.epoch(), epoch + 1);
  const auto book = old_reader.book(0, 10);
  ASSERT_TRUE(book.has_value()) << "the table's entry stayed odd";
  EXPECT_EQ(book->entry.state, shm::State::STALE);
  const std::uint64_t next = successor.next();
  EXPECT_EQ(next, old_reader.next() + 1) << "one tick, the RESTART, behind the last complete one";
  successor.push(marked(next));
  const std::vector<std::uint64_t> after = drain(old_reader);
  EXPECT_EQ(after.size(), 2U);
  EXPECT_EQ(old_reader.next(), next + 1);
  EXPECT_EQ(old_reader.dropped(), 0U);
  EXPECT_GE(view.header().published, next) << "late readers start behind the RESTART tick";
  EXPECT_LE(view.header().published, successor.next());
}

TEST(RingKill, BetweenAnyTwoStoresOfAPublication) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer takes another number of instructions each time: none can be returned to";
#endif
  if (!may_trace())
    GTEST_SKIP() << "this user may not trace its own children";
  SharedSegment segment;
  Work work(segment.view());
  const std::vector<std::byte> start = segment.bytes();
  std::vector<std::uint64_t> stores;
  std::vector<std::byte> last = start;
  constexpr std::uint64_t kAtMost = 200'000;
  // The work's end is a stop of its own: then running ends.
  EXPECT_FALSE(run_and_kill(work, kAtMost, [&](std::uint64_t step) {
    if (std::memcmp(last.data(), segment.view().base(), last.size()) == 0)
      return;
    last = segment.bytes();
    stores.push_back(step);
  }));
  // Two ticks of nine stores, the table's head and levels, the cursor: no compiler makes one store of two.
  ASSERT_GT(stores.size(), 30U);
  RecordProperty("stores", static_cast<int>(stores.size()));
  stores.insert(stores.begin(), 0);
  for (const std::uint64_t step : stores) {
    segment.put(start);
    ASSERT_TRUE(run_and_kill(work, step)) << "step " << step;
    check_takeover(segment.view(), work.first());
    if (HasFailure())
      FAIL() << "killed after instruction " << step;
  }
}

TEST(RingKill, ATakeoverThatIsItselfKilledIsTakenOver) {
  SharedSegment segment;
  Work work(segment.view());
  // An odd slot, an odd book and an epoch that was not yet raised, as two deaths would leave them.
  *segment.view().slot(work.first()) = 2 * work.first() + 1;
  segment.view().book(0).seq |= 1U;
  check_takeover(segment.view(), work.first());
}

/// A checker that accepts anything would accept this, too.
TEST(RingKill, ASegmentWithATornTickIsSeen) {
  SharedSegment segment;
  Work work(segment.view());
  std::uint64_t *slot = segment.view().slot(kBefore - 1);
  ASSERT_EQ(slot[0], 2 * kBefore);
  slot[5] = 77;
  RingReader reader(segment.view());
  reader.seek(kBefore - 1);
  Tick tick;
  ASSERT_EQ(reader.poll(tick), Poll::Got);
  EXPECT_NE(tick.b, tick.a);
}

} // namespace
} // namespace quietcore
