#pragma once

#include "quietcore/segment.hpp"

#include <cstdint>
#include <string>

namespace quietcore {

/// An open file descriptor.
class FileDescriptor {
public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) noexcept : fd_(fd) {}
  FileDescriptor(FileDescriptor &&other) noexcept : fd_(other.release()) {}
  FileDescriptor &operator=(FileDescriptor &&other) noexcept;
  FileDescriptor(const FileDescriptor &) = delete;
  FileDescriptor &operator=(const FileDescriptor &) = delete;
  ~FileDescriptor();

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }
  int release() noexcept {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

private:
  int fd_ = -1;
};

/// What a mapping's memory is made of.
struct Pages {
  enum class Kind : std::uint8_t {
    Plain,
    Collapsed, ///< huge pages that the kernel made of plain ones when asked (MADV_COLLAPSE)
    HugeTlb,   ///< the file lies on hugetlbfs
  };
  Kind kind = Kind::Plain;
  std::uint64_t huge_bytes = 0; ///< of them in huge pages
  std::string reason{};         ///< why not, where plain

  /// "4 of 5 MiB in huge pages (MADV_COLLAPSE)", for people.
  [[nodiscard]] std::string text(std::uint64_t size) const;
};

/// A shared mapping of a whole file.
class Mapping {
public:
  Mapping() = default;
  /// Maps `size` bytes, writable or not, and faults every page in. Throws Error.
  Mapping(int fd, std::uint64_t size, bool writable, const std::string &path);
  /// Asks for huge pages beneath a writable mapping, by what the file's place and the kernel offer; it is as
  /// good without them.
  void use_huge_pages(int fd);
  Mapping(Mapping &&other) noexcept;
  Mapping &operator=(Mapping &&other) noexcept;
  Mapping(const Mapping &) = delete;
  Mapping &operator=(const Mapping &) = delete;
  ~Mapping();

  [[nodiscard]] std::byte *data() const noexcept { return data_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] const Pages &pages() const noexcept { return pages_; }

private:
  void unmap() noexcept;

  std::byte *data_ = nullptr;
  std::uint64_t size_ = 0;
  Pages pages_{};
};

/// Where segments live; only tests use another folder.
struct SegmentPlace {
  std::string folder = "/dev/shm";
  std::string group = "quietcore"; ///< given the segment where it exists

  [[nodiscard]] std::string segment(const std::string &feed) const { return folder + "/quietcore." + feed; }
  [[nodiscard]] std::string lock(const std::string &feed) const { return segment(feed) + ".lock"; }
};

/// The producer's hold on a feed: the lock by which it was elected, and the mapped segment.
///
/// The lock lies on a file of its own that is never renamed or unlinked, and the kernel frees it when the
/// process ends, however it ends.
class ProducerSegment {
public:
  /// Elects this process and opens the feed's segment, or makes a new one beside it and renames it into place
  /// where there is none or it does not fit the spec; the old one is then marked closed if it can be. Throws
  /// Error where another producer runs or there is no room; leaves nothing half made.
  static ProducerSegment open(const SegmentSpec &spec, const SegmentPlace &place);

  [[nodiscard]] SegmentView view() const noexcept { return SegmentView(mapping_.data()); }
  /// Why an existing segment was replaced; empty where it was continued, or there was none.
  [[nodiscard]] const std::string &replaced() const noexcept { return replaced_; }
  [[nodiscard]] bool continued() const noexcept { return continued_; }
  /// What its memory is made of: "4 of 5 MiB in huge pages (MADV_COLLAPSE)".
  [[nodiscard]] std::string pages() const { return mapping_.pages().text(mapping_.size()); }

private:
  FileDescriptor lock_;
  Mapping mapping_;
  std::string replaced_;
  bool continued_ = false;
};

/// What a user may want to know at a producer's end: the ring is meant to stay.
[[nodiscard]] std::string ring_stays(const std::string &feed, const SegmentPlace &place = {});

/// A reader's read-only mapping of a feed's segment. Throws Error where there is none or it cannot be read.
[[nodiscard]] Mapping map_segment_for_reading(const std::string &feed, const SegmentPlace &place);

} // namespace quietcore
