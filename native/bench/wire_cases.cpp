// From bytes on a loopback connection to ticks in the ring, against a peer that does the least there is to
// do: one receive call and one store. One thread writes and then spins on shared memory; the receiver has the
// other CPU.
#include "cases.hpp"
#include "feed_process.hpp"
#include "messages.hpp"
#include "two_threads.hpp"

#include "quietcore/ring_reader.hpp"
#include "quietcore/thread_placement.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <atomic>
#include <exception>
#include <map>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace quietcore::bench {
namespace {

/// Between two messages, so that the receiver is waiting when the next comes.
constexpr std::uint64_t kRestNs = 20'000;
constexpr std::uint64_t kPatienceNs = 5'000'000'000;
/// Not timed at a block's begin: caches, and a receiver that was stopped.
constexpr std::size_t kWarm = 200;

struct Frames {
  std::vector<std::string> frames;
  std::uint32_t depth = 0;
};

const Frames &frames_of(const Input &input) {
  static std::map<const Input *, Frames> made;
  Frames &out = made[&input];
  if (out.frames.empty()) {
    for (const InputMessage &message : input.messages)
      out.frames.push_back(text_frame(message.bytes));
    out.depth = input.facts.windows.at(0);
  }
  return out;
}

template <typename Condition> void spin_within(Condition &&condition) {
  const std::uint64_t begin = monotonic_ns();
  while (!condition()) {
    cpu_pause();
    if (monotonic_ns() - begin > kPatienceNs)
      throw std::runtime_error("a message did not arrive within five seconds");
  }
}

void send_all(int socket, const std::string &frame) {
  if (send(socket, frame.data(), frame.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(frame.size()))
    throw std::runtime_error("the loopback connection does not take a whole message");
}

/// Sends frames from `next` on, in a ring, and times each until arrived() holds.
template <typename Arrived>
Outcome time_each(const Frames &input, std::size_t &next, int socket, double seconds, Arrived &&arrived) {
  std::vector<std::uint64_t> ns;
  ns.reserve(1U << 20U);
  const Stopwatch watch;
  for (std::size_t sent = 0; sent < 2 * kWarm || watch.seconds() < seconds; ++sent) {
    const std::string &frame = input.frames[next++ % input.frames.size()];
    const std::uint64_t begin = monotonic_ns();
    send_all(socket, frame);
    spin_within(arrived);
    const std::uint64_t end = monotonic_ns();
    if (sent >= kWarm)
      ns.push_back(end - begin);
    while (monotonic_ns() - end < kRestNs)
      cpu_pause();
  }
  std::sort(ns.begin(), ns.end());
  Outcome out;
  out.operations = ns.size();
  out.seconds = watch.seconds();
  out.more["p50_ns"] = static_cast<double>(ns[ns.size() / 2]);
  out.more["p99_ns"] = static_cast<double>(ns[ns.size() * 99 / 100]);
  return out;
}

/// The CPU that on_two_cpus gives the other side.
int other_cpu() {
  if (std::thread::hardware_concurrency() < 2)
    throw std::runtime_error("a figure of two processes needs two CPUs: not measurable here");
  return static_cast<int>(std::thread::hardware_concurrency()) - 2;
}

/// Two connected sockets over loopback, as a venue's stream would be.
std::array<FileDescriptor, 2> loopback_pair() {
  const FileDescriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto *const plain = reinterpret_cast<sockaddr *>(&address);
  FileDescriptor client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (bind(listener.get(), plain, size) != 0 || listen(listener.get(), 1) != 0 ||
      getsockname(listener.get(), plain, &size) != 0 || connect(client.get(), plain, size) != 0)
    throw std::runtime_error("no loopback connection");
  FileDescriptor server(accept(listener.get(), nullptr, nullptr));
  const int on = 1;
  for (const FileDescriptor *end : {&client, &server})
    (void)setsockopt(end->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return {std::move(server), std::move(client)};
}

struct alignas(128) StoredSlot {
  std::atomic<std::uint64_t> bytes{0};
};

} // namespace

Outcome wire_to_tick(const std::string &path, double seconds) {
  const Input &input = load_input(path);
  const Frames &frames = frames_of(input);
  static std::map<std::string, std::unique_ptr<FeedProcess>> running;
  static std::map<std::string, std::size_t> next;
  std::unique_ptr<FeedProcess> &feed = running[path];
  if (!feed)
    feed = std::make_unique<FeedProcess>(other_cpu(), frames.depth, input.facts.instruments.at(0));
  feed->go_on();
  RingReader reader(feed->view());
  const AffinityRestored affinity;
  (void)pin_this_thread(other_cpu() + 1);
  const Outcome out = time_each(frames, next[path], feed->stream(), seconds, [&] {
    // Until the message's last tick is there, its BOOK tick.
    Tick tick;
    while (reader.poll(tick) == Poll::Got) {
      if (tick.kind == shm::Kind::BOOK)
        return true;
    }
    return false;
  });
  feed->stop();
  if (reader.dropped() != 0)
    throw std::runtime_error("ticks were overwritten before they were read");
  return out;
}

Outcome wire_to_slot(const std::string &path, double seconds) {
  const Frames &frames = frames_of(load_input(path));
  const auto [here, there] = loopback_pair();
  StoredSlot slot;
  std::atomic<bool> over{false};
  Outcome out;
  std::exception_ptr problem;
  on_two_cpus(
      [&] {
        try {
          std::size_t next = 0;
          std::uint64_t expected = 0;
          out = time_each(frames, next, here.get(), seconds, [&] {
            const std::uint64_t want = expected + frames.frames[(next - 1) % frames.frames.size()].size();
            const bool arrived = slot.bytes.load(std::memory_order_acquire) == want;
            expected = arrived ? want : expected;
            return arrived;
          });
        } catch (...) {
          problem = std::current_exception();
        }
        over.store(true, std::memory_order_release);
      },
      [&, receiver = there.get()] {
        std::vector<char> buffer(1U << 17U);
        std::uint64_t bytes = 0;
        while (!over.load(std::memory_order_acquire)) {
          const ssize_t got = recv(receiver, buffer.data(), buffer.size(), MSG_DONTWAIT);
          if (got > 0)
            slot.bytes.store(bytes += static_cast<std::uint64_t>(got), std::memory_order_release);
        }
      });
  if (problem)
    std::rethrow_exception(problem);
  return out;
}

} // namespace quietcore::bench
