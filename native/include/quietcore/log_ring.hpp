#pragma once

#include "quietcore/error.hpp"

#include <array>
#include <atomic>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

namespace quietcore {

/// Kinds of trouble that may repeat with every message.
enum class Trouble : std::uint8_t {
  Malformed,
  UnknownSymbol,
  OutOfRange,
  Gap,
  Crossed,
  Connection,
  Refused,
  Snapshot,
  Silence,
  Listing,
  Recorder,
  Socket,
  Log,
  Count
};

/// Where the current message came from, for messages about it.
struct Origin {
  const char *name = ""; ///< file or connection; lives as long as Diagnostics: static, or of its keep()
  std::uint64_t line = 0;

  [[nodiscard]] std::string text() const {
    return line == 0 ? std::string(name) : std::string(name) + ":" + std::to_string(line);
  }
};

/// Most bytes of what is found; the rest of a record says where.
inline constexpr std::size_t kLogEntryBytes = 32;

/// Something found on the hot path: plain data now, words later. What it points to must live as long as
/// Diagnostics.
template <typename T>
concept LogEntry = std::is_trivially_copyable_v<T> && sizeof(T) <= kLogEntryBytes && alignof(T) <= 8 &&
                   requires(const T &entry, const Origin &origin) {
                     { entry.kind() } noexcept -> std::same_as<Trouble>;
                     { entry.finding(origin) } -> std::same_as<Finding>;
                   };

/// One cache line: an entry, and how to put it into words.
struct alignas(64) LogRecord {
  using InWords = Finding (*)(const LogRecord &);

  InWords in_words = nullptr;
  Origin origin{};
  alignas(8) std::array<std::byte, kLogEntryBytes> entry{};
  Trouble kind = Trouble::Count;

  [[nodiscard]] Finding finding() const { return in_words(*this); }
};
static_assert(sizeof(LogRecord) == 64);

/// A bounded queue of records from the hot path: one producer, one consumer, neither ever waits. A record
/// that finds no room is counted and left out.
class LogRing {
public:
  static constexpr std::size_t kRecords = 100'000;

  /// Every page is touched.
  LogRing() : records_(kRecords) {}

  /// Producer. A few stores: no allocation, lock or system call.
  template <LogEntry T> void push(const Origin &origin, const T &entry) noexcept {
    if (written_ - seen_taken_ == kRecords) [[unlikely]] {
      seen_taken_ = taken_.load(std::memory_order_acquire);
      if (written_ - seen_taken_ == kRecords) {
        // One writer: no need of a locked addition.
        dropped_.store(dropped_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        return;
      }
    }
    LogRecord &record = records_[slot_];
    record.in_words = &in_words<T>;
    record.origin = origin;
    std::memcpy(record.entry.data(), &entry, sizeof(T));
    record.kind = entry.kind();
    if (++slot_ == kRecords)
      slot_ = 0;
    end_.store(++written_, std::memory_order_release);
  }

  /// Consumer: hands the records before `end`, oldest first, to `take` with their numbers.
  template <typename Take> void drain(std::uint64_t end, Take &&take) {
    std::uint64_t number = taken_.load(std::memory_order_relaxed);
    for (; number != end; ++number) {
      take(number, records_[number % kRecords]);
      taken_.store(number + 1, std::memory_order_release);
    }
  }

  /// Any thread: how many were ever written; the records before that are complete.
  [[nodiscard]] std::uint64_t end() const noexcept { return end_.load(std::memory_order_acquire); }
  /// Any thread: how many found no room.
  [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }

private:
  template <LogEntry T> static Finding in_words(const LogRecord &record) {
    std::array<std::byte, sizeof(T)> bytes;
    std::memcpy(bytes.data(), record.entry.data(), sizeof(T));
    return std::bit_cast<T>(bytes).finding(record.origin);
  }

  std::vector<LogRecord> records_;
  alignas(128) std::uint64_t written_ = 0; ///< producer's
  std::uint64_t seen_taken_ = 0;
  std::size_t slot_ = 0;
  std::atomic<std::uint64_t> dropped_{0};
  alignas(128) std::atomic<std::uint64_t> end_{0};
  alignas(128) std::atomic<std::uint64_t> taken_{0}; ///< consumer's
};

} // namespace quietcore
