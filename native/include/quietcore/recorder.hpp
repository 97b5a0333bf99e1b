#pragma once

#include "quietcore/message_buffer.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace quietcore {

/// How a feed is recorded.
struct RecorderConfig {
  enum class Form : std::uint8_t {
    Lines,   ///< `receive_ns message`, in files FEED-LEG-TIME.jsonl.zst
    Packets, ///< frames as pcap::frame makes them, in files FEED-LEG-TIME.pcap.zst
  };
  std::string folder{};                                   ///< empty: not at all
  std::size_t buffer = std::size_t{64} << 20U;            ///< bytes between the feed and the disk
  std::uint64_t rotate_bytes = std::uint64_t{256} << 20U; ///< on disk, then a new file
  std::chrono::seconds rotate_after{3'600};
  std::uint64_t keep_bytes = 0; ///< of this feed's files, then the oldest go; 0: keep all
  Form form = Form::Lines;
  std::vector<int> cpus{}; ///< where its thread may run; empty: anywhere
};

/// Writes every message with its receive time to `folder/FEED-LEG-TIME.jsonl.zst`, one line each, on a thread
/// of its own; packets to a capture file. The feed hands a message over and goes on: what finds the buffer
/// full, or the disk, is counted and marked in the file where it is missing, by a line
/// `# N messages are missing here: REASON` (in a capture file, pcap::remark with that text).
///
/// Frames of half a second, each complete and on the disk when the next begins: a crash loses less than a
/// second.
class Recorder {
public:
  using Say = std::function<void(const std::string &line)>;

  /// Throws Error where the folder cannot be written to.
  Recorder(RecorderConfig config, std::string feed, Say say);
  Recorder(const Recorder &) = delete;
  Recorder &operator=(const Recorder &) = delete;
  /// Writes what is left.
  ~Recorder();

  /// Hands over a message of a leg. Never waits.
  void take(std::uint32_t leg, std::int64_t receive_ns, std::string_view bytes) noexcept {
    if (buffer_.push(leg, receive_ns, bytes))
      ++taken_;
    else
      ++overflowed_;
  }

  /// For the thread that calls take().
  [[nodiscard]] std::uint64_t taken() const noexcept { return taken_; }
  /// Messages that are in no file: the buffer or the disk was full.
  [[nodiscard]] std::uint64_t dropped() const noexcept {
    return overflowed_ + lost_.load(std::memory_order_relaxed);
  }

private:
  class Stream;

  void work();
  /// Takes everything there is; false where there was nothing.
  bool drain();
  void tend();
  [[nodiscard]] Stream &stream(std::uint32_t leg);
  void forget_oldest();

  RecorderConfig config_;
  std::string feed_;
  Say say_;
  MessageBuffer buffer_;
  std::uint64_t taken_ = 0;
  std::uint64_t overflowed_ = 0;
  std::atomic<std::uint64_t> lost_{0};
  std::atomic<bool> stop_{false};
  std::uint64_t untold_ = 0; ///< dropped after the last message that was taken; set before stop_
  std::vector<std::unique_ptr<Stream>> streams_; ///< by leg
  std::chrono::steady_clock::time_point tended_{};
  std::thread thread_;
};

} // namespace quietcore
