#pragma once

#include "quietcore/segment_file.hpp"

#include <string>
#include <sys/types.h>
#include <vector>

namespace quietcore::bench {

/// `quietcore-feed run`, built beside this program, on a CPU of its own, following a Bybit stream that this
/// process serves: one symbol, its book alone. Ends with this object, and with this process however that
/// ends.
class FeedProcess {
public:
  /// Returns when the feed handler has subscribed. Throws where it does not come so far within ten seconds.
  FeedProcess(int cpu, std::uint32_t depth, const Instrument &instrument);
  FeedProcess(const FeedProcess &) = delete;
  FeedProcess &operator=(const FeedProcess &) = delete;
  ~FeedProcess();

  /// The stream's socket, to which WebSocket frames are written.
  [[nodiscard]] int stream() const noexcept { return stream_.get(); }
  [[nodiscard]] SegmentView view() const noexcept { return SegmentView(mapping_.data()); }
  /// Takes it off its CPU, and lets it go on.
  void stop();
  void go_on();

private:
  void start(int cpu, std::uint32_t depth, const std::string &symbol, int port);
  void end() noexcept;

  std::string feed_;
  pid_t process_ = -1;
  FileDescriptor stream_;
  Mapping mapping_;
};

/// A whole WebSocket message as a server sends it.
[[nodiscard]] std::string text_frame(std::string_view message);

} // namespace quietcore::bench
