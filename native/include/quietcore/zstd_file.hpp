#pragma once

#include "quietcore/segment_file.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace quietcore {

/// A file of zstd frames, each complete in itself: whatever ends the process, everything up to the last
/// finish_frame() can be read.
class ZstdFile {
public:
  /// Makes the file, which must not exist, mode 0640. Throws Error.
  explicit ZstdFile(const std::string &path);
  ZstdFile(ZstdFile &&) noexcept;
  ZstdFile &operator=(ZstdFile &&) noexcept;
  ~ZstdFile();

  /// Takes more content into the frame under way.
  void add(std::string_view text);
  /// Ends the frame and hands it to the disk. False where that failed: what the frame held is lost, and the
  /// file is cut back to the frames before it; error() says why.
  [[nodiscard]] bool finish_frame();

  /// Content of the frame under way.
  [[nodiscard]] std::size_t pending() const noexcept { return pending_; }
  /// On disk.
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] int error() const noexcept { return error_; }
  [[nodiscard]] const std::string &path() const noexcept { return path_; }

private:
  struct Context;
  std::string path_;
  FileDescriptor file_;
  std::unique_ptr<Context> context_;
  std::vector<char> packed_; ///< frame under way, as far as it is compressed
  std::size_t filled_ = 0;
  std::size_t pending_ = 0;
  std::uint64_t size_ = 0;
  int error_ = 0;
};

} // namespace quietcore
