#pragma once

#include "quietcore/pcap.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quietcore {

/// One line of a recording, or one packet.
struct RecordedLine {
  std::uint64_t number = 0;    ///< from 1
  std::int64_t receive_ns = 0; ///< 0 where the line has none
  std::string_view message{};  ///< followed by kMessagePadding readable bytes; valid until the next line
  bool ended = true;           ///< the line had its line feed
};

/// How reading came to its end.
enum class RecordingEnd : std::uint8_t {
  Complete,
  Truncated, ///< compressed data or a capture that stops, or is damaged, before its end
};

/// Reads `receive_ns raw_json` or bare `raw_json` lines, plain, gzip or zstd. Empty lines and lines that
/// begin with # are skipped; the recorder marks with such a line how many messages are missing at a place.
/// Of capture files (pcap, plain or packed), the payloads of all UDP packets.
class RecordingReader {
public:
  /// Throws Error where the file cannot be opened.
  explicit RecordingReader(std::string path);
  RecordingReader(RecordingReader &&) noexcept;
  RecordingReader &operator=(RecordingReader &&) noexcept;
  ~RecordingReader();

  /// Takes the next line; false at the end.
  [[nodiscard]] bool next(RecordedLine &line);

  [[nodiscard]] RecordingEnd end() const noexcept { return end_; }
  [[nodiscard]] const std::string &path() const noexcept { return path_; }
  /// Number of the last line taken.
  [[nodiscard]] std::uint64_t line() const noexcept { return line_; }

  /// Messages that the recorder says are missing in what was read.
  [[nodiscard]] std::uint64_t missing() const noexcept { return missing_; }

private:
  struct Source;
  /// Reads more behind what is left; false at the end of the file.
  bool refill();
  /// Until so many bytes wait to be taken; false where the file ends before.
  bool have(std::size_t size);
  bool next_line(RecordedLine &line);
  bool next_packet(RecordedLine &line);
  /// A remark of the recorder.
  void count_missing(std::string_view remark);

  std::string path_;
  std::unique_ptr<Source> file_;
  std::optional<pcap::Format> capture_{}; ///< nothing: lines
  std::vector<char> buffer_;
  std::size_t begin_ = 0; ///< of what has not been taken
  std::size_t filled_ = 0;
  bool eof_ = false;
  RecordingEnd end_ = RecordingEnd::Complete;
  std::uint64_t line_ = 0;
  std::uint64_t missing_ = 0;
};

} // namespace quietcore
