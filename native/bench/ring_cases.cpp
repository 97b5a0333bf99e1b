// The ring between two CPUs: round trips, and ticks a second, against the least that the hardware needs and
// against other queues. Each case sends whole 64-byte ticks and the receiver checks every one of them.
#include "anonymous_ring.hpp"
#include "cases.hpp"
#include "two_threads.hpp"

#include <array>
#include <atomic>
#include <boost/lockfree/spsc_queue.hpp>
#include <fcntl.h>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace quietcore::bench {
namespace {

constexpr std::uint64_t kCapacity = 65536;
/// Ticks that a sender of the throughput cases may be ahead of its receiver: the ring itself never waits.
constexpr std::uint64_t kAhead = kCapacity / 2;
constexpr std::uint64_t kStop = ~std::uint64_t{0};

struct alignas(64) Line {
  std::array<std::uint64_t, 8> words{};
};

struct alignas(128) Counter {
  std::atomic<std::uint64_t> value{0};
};

void expect(bool holds) {
  if (!holds)
    throw std::runtime_error("a queue handed out something else than was sent");
}

Tick numbered(std::uint64_t n) {
  Tick tick;
  tick.receive_ns = static_cast<std::int64_t>(n);
  tick.a = tick.receive_ns;
  tick.d = tick.receive_ns;
  return tick;
}

/// A segment that another process made, read-only.
class ForeignRing {
public:
  explicit ForeignRing(const std::string &path) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat found{};
    if (file < 0 || fstat(file, &found) != 0)
      throw std::runtime_error("no segment to read; where: " + path);
    size_ = static_cast<std::size_t>(found.st_size);
    memory_ = mmap(nullptr, size_, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0);
    close(file);
    if (memory_ == MAP_FAILED)
      throw std::bad_alloc();
  }
  ForeignRing(const ForeignRing &) = delete;
  ForeignRing &operator=(const ForeignRing &) = delete;
  ~ForeignRing() { munmap(memory_, size_); }

  [[nodiscard]] SegmentView view() const { return SegmentView(static_cast<std::byte *>(memory_)); }

private:
  std::size_t size_ = 0;
  void *memory_ = nullptr;
};

/// ask(n) sends n and waits for it to come back; answer() takes the next and returns its number, sending it
/// back.
template <typename Ask, typename Answer> Outcome round_trips(double seconds, Ask &&ask, Answer &&answer) {
  constexpr std::uint64_t kBatch = 200;
  Outcome out;
  on_two_cpus(
      [&] {
        std::uint64_t n = 0;
        for (; n < kBatch; ++n) // warm
          ask(n);
        out = run_for(seconds, [&] {
          for (std::uint64_t i = 0; i < kBatch; ++i)
            ask(n++);
          return kBatch;
        });
        ask(kStop);
      },
      [&] {
        while (answer() != kStop) {
        }
      });
  return out;
}

/// send(n) blocks while the receiver is too far behind; take(n) waits for the n-th and checks it.
template <typename Send, typename Take> Outcome throughput(double seconds, Send &&send, Take &&take) {
  constexpr std::uint64_t kBatch = 16384;
  Outcome out;
  Counter asked;
  on_two_cpus(
      [&] {
        std::uint64_t n = 0;
        out = run_for(seconds, [&] {
          asked.value.store(n + kBatch, std::memory_order_release);
          for (std::uint64_t i = 0; i < kBatch; ++i)
            take(n++);
          return kBatch;
        });
        asked.value.store(kStop, std::memory_order_release);
      },
      [&] {
        // A batch ahead of what is asked for, so that the receiver always has something to take.
        for (std::uint64_t n = 0;;) {
          const std::uint64_t upto = asked.value.load(std::memory_order_acquire);
          if (upto == kStop)
            return;
          while (n < upto + kBatch && asked.value.load(std::memory_order_relaxed) != kStop) {
            for (std::uint64_t i = 0; i < 64; ++i)
              send(n++);
          }
          cpu_pause();
        }
      });
  return out;
}

} // namespace

Outcome raw_round_trip(const std::string &, double seconds) {
  Counter there;
  Counter back;
  std::uint64_t seen = 0;
  return round_trips(
      seconds,
      [&](std::uint64_t n) {
        there.value.store(n + 1, std::memory_order_release);
        spin_until([&] { return back.value.load(std::memory_order_acquire) == n + 1; });
      },
      [&] {
        spin_until([&] { return there.value.load(std::memory_order_acquire) != seen; });
        seen = there.value.load(std::memory_order_relaxed);
        back.value.store(seen, std::memory_order_release);
        return seen - 1;
      });
}

Outcome ring_round_trip(const std::string &, double seconds) {
  const AnonymousRing there(kCapacity);
  const AnonymousRing back(kCapacity);
  RingWriter to(there.view());
  RingWriter fro(back.view());
  RingReader at_sender(back.view());
  RingReader at_receiver(there.view());
  const auto take = [](RingReader &reader) {
    Tick tick;
    spin_until([&] { return reader.poll(tick) == Poll::Got; });
    expect(tick.a == tick.receive_ns && tick.d == tick.a);
    return static_cast<std::uint64_t>(tick.a);
  };
  return round_trips(
      seconds,
      [&](std::uint64_t n) {
        to.push(numbered(n));
        expect(take(at_sender) == n);
      },
      [&] {
        const std::uint64_t n = take(at_receiver);
        fro.push(numbered(n));
        return n;
      });
}

Outcome boost_round_trip(const std::string &, double seconds) {
  boost::lockfree::spsc_queue<Tick> to(kCapacity);
  boost::lockfree::spsc_queue<Tick> fro(kCapacity);
  const auto take = [](auto &queue) {
    Tick tick;
    spin_until([&] { return queue.pop(tick); });
    return static_cast<std::uint64_t>(tick.a);
  };
  return round_trips(
      seconds,
      [&](std::uint64_t n) {
        to.push(numbered(n));
        expect(take(fro) == n);
      },
      [&] {
        const std::uint64_t n = take(to);
        fro.push(numbered(n));
        return n;
      });
}

Outcome bulk_throughput(const std::string &, double seconds) {
  // Blocks of 64 KiB, one counter for each 1,024 ticks: what two CPUs can hand over at all.
  constexpr std::uint64_t kBlock = 1024;
  std::vector<Line> lines(kCapacity);
  Counter written;
  Counter taken;
  std::uint64_t known = 0;
  return throughput(
      seconds,
      [&](std::uint64_t n) {
        if (n % kBlock == 0)
          spin_until([&] {
            const std::uint64_t done = taken.value.load(std::memory_order_acquire);
            return done == kStop || n - done < kAhead;
          });
        lines[n % kCapacity].words.fill(n);
        if ((n + 1) % kBlock == 0)
          written.value.store(n + 1, std::memory_order_release);
      },
      [&](std::uint64_t n) {
        if (n >= known)
          spin_until([&] { return (known = written.value.load(std::memory_order_acquire)) > n; });
        const Line &line = lines[n % kCapacity];
        expect(line.words[1] == n && line.words[7] == n);
        if ((n + 1) % kBlock == 0)
          taken.value.store(n + 1, std::memory_order_release);
      });
}

Outcome ring_throughput(const std::string &, double seconds) {
  const AnonymousRing memory(kCapacity);
  RingWriter writer(memory.view());
  RingReader reader(memory.view());
  Counter taken;
  Tick tick;
  Outcome out = throughput(
      seconds,
      [&](std::uint64_t n) {
        if (n % 1024 == 0)
          spin_until([&] { return n - taken.value.load(std::memory_order_acquire) < kAhead; });
        writer.push(numbered(n));
      },
      [&](std::uint64_t n) {
        spin_until([&] { return reader.poll(tick) == Poll::Got; });
        expect(static_cast<std::uint64_t>(tick.a) == n && static_cast<std::uint64_t>(tick.d) == n);
        if ((n + 1) % 1024 == 0)
          taken.value.store(n + 1, std::memory_order_release);
      });
  expect(reader.dropped() == 0);
  return out;
}

Outcome boost_throughput(const std::string &, double seconds) {
  boost::lockfree::spsc_queue<Tick> queue(kCapacity);
  Tick tick;
  return throughput(
      seconds, [&](std::uint64_t n) { spin_until([&] { return queue.push(numbered(n)); }); },
      [&](std::uint64_t n) {
        spin_until([&] { return queue.pop(tick); });
        expect(static_cast<std::uint64_t>(tick.a) == n && static_cast<std::uint64_t>(tick.d) == n);
      });
}

Outcome ring_drain(const std::string &input, double seconds) {
  const ForeignRing memory(input);
  std::uint64_t *slots = memory.view().slot(0);
  shm::Header &header = memory.view().header();
  const std::uint64_t capacity = header.capacity;
  return run_for(seconds, [&] {
    ReadPosition at;
    std::array<std::uint64_t, kTickWords> words{};
    std::uint64_t sum = 0;
    while (read_tick(HardwareMemory{}, slots, capacity, header.published, at, words) == Poll::Got)
      for (const std::uint64_t word : words)
        sum += word;
    expect(at.next == capacity && sum == kTickWords * (capacity * (capacity - 1) / 2));
    return at.next;
  });
}

} // namespace quietcore::bench
