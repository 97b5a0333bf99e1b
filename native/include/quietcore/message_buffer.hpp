#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace quietcore {

/// A message on its way to the recorder.
struct BufferedMessage {
  std::uint32_t stream = 0;
  std::int64_t receive_ns = 0;
  std::uint64_t dropped_before = 0; ///< messages of this and other streams that found no room since the last
  std::string_view bytes{};
};

/// A bounded queue of messages: one producer, one consumer, neither ever waits. A message without room is
/// counted and left out, and the next one that fits says how many there were.
class MessageBuffer {
public:
  /// At least this many bytes, rounded up to a power of two; every page is touched.
  explicit MessageBuffer(std::size_t bytes) : data_(std::bit_ceil(bytes < kSmallest ? kSmallest : bytes)) {}

  /// Producer: copies a message in; false where there is no room. No allocation, lock or system call.
  bool push(std::uint32_t stream, std::int64_t receive_ns, std::string_view bytes) noexcept {
    const std::size_t need = sizeof(Head) + rounded(bytes.size());
    const std::size_t mask = data_.size() - 1;
    // A message lies in one piece: what is left before the end may have to be skipped.
    const std::size_t to_end = data_.size() - (written_ & mask);
    const std::size_t skip = to_end < need ? to_end : 0;
    if (!fits(skip + need)) {
      ++dropped_;
      return false;
    }
    if (skip >= sizeof(Head)) {
      const Head filler{.size = kSkip, .stream = 0, .receive_ns = 0, .dropped_before = 0};
      std::memcpy(&data_[written_ & mask], &filler, sizeof(filler));
    }
    written_ += skip;
    const Head head{static_cast<std::uint32_t>(bytes.size()), stream, receive_ns, dropped_};
    std::memcpy(&data_[written_ & mask], &head, sizeof(head));
    std::memcpy(&data_[written_ & mask] + sizeof(head), bytes.data(), bytes.size());
    written_ += need;
    dropped_ = 0;
    head_.store(written_, std::memory_order_release);
    return true;
  }

  /// Consumer: the oldest message, valid until pop(); false where there is none.
  [[nodiscard]] bool front(BufferedMessage &message) noexcept {
    const std::size_t mask = data_.size() - 1;
    const std::uint64_t end = head_.load(std::memory_order_acquire);
    while (read_ != end) {
      const std::size_t to_end = data_.size() - (read_ & mask);
      Head head{.size = kSkip, .stream = 0, .receive_ns = 0, .dropped_before = 0};
      if (to_end >= sizeof(Head))
        std::memcpy(&head, &data_[read_ & mask], sizeof(head));
      if (head.size == kSkip) {
        read_ += to_end;
        continue;
      }
      message = {head.stream,
                 head.receive_ns,
                 head.dropped_before,
                 {reinterpret_cast<const char *>(&data_[read_ & mask]) + sizeof(head), head.size}};
      size_ = sizeof(head) + rounded(head.size);
      return true;
    }
    tail_.store(read_, std::memory_order_release);
    return false;
  }
  void pop() noexcept {
    read_ += size_;
    tail_.store(read_, std::memory_order_release);
  }

  /// Producer: dropped and not yet told by a later message.
  [[nodiscard]] std::uint64_t untold_drops() const noexcept { return dropped_; }

private:
  struct Head {
    std::uint32_t size;
    std::uint32_t stream;
    std::int64_t receive_ns;
    std::uint64_t dropped_before;
  };
  static constexpr std::uint32_t kSkip = UINT32_MAX;
  static constexpr std::size_t kSmallest = std::size_t{1} << 16U;

  static constexpr std::size_t rounded(std::size_t size) noexcept { return (size + 7) & ~std::size_t{7}; }

  /// Looks at the consumer's place only where the last look does not suffice.
  bool fits(std::size_t need) noexcept {
    if (written_ + need - seen_tail_ <= data_.size())
      return true;
    seen_tail_ = tail_.load(std::memory_order_acquire);
    return written_ + need - seen_tail_ <= data_.size();
  }

  std::vector<std::byte> data_;
  alignas(128) std::uint64_t written_ = 0; ///< producer's
  std::uint64_t seen_tail_ = 0;
  std::uint64_t dropped_ = 0;
  alignas(128) std::atomic<std::uint64_t> head_{0};
  alignas(128) std::uint64_t read_ = 0; ///< consumer's
  std::uint64_t size_ = 0;
  alignas(128) std::atomic<std::uint64_t> tail_{0};
};

} // namespace quietcore
