#include "quietcore/segment_file.hpp"

#include "quietcore/clock.hpp"
#include "quietcore/error.hpp"
#include "quietcore/segment_fault.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <utility>

namespace quietcore {
namespace {

constexpr mode_t kMode = 0640;
constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20U;
constexpr std::uint64_t kHugetlbfs = 0x958458f6; // statfs(2)
constexpr int kMadvCollapse = 25;                // since Linux 6.1; older headers do not name it

std::string reason(int error) { return std::strerror(error); }

std::string mebibytes(std::uint64_t bytes) {
  return std::to_string((bytes + (1U << 20U) - 1) >> 20U) + " MiB";
}

/// Mode and group whatever the umask was.
void protect(int fd, const std::string &group) {
  (void)fchmod(fd, kMode);
  if (const struct ::group *entry = getgrnam(group.c_str()); entry != nullptr)
    (void)fchown(fd, static_cast<uid_t>(-1), entry->gr_gid);
}

FileDescriptor elect(const SegmentSpec &spec, const SegmentPlace &place) {
  const std::string path = place.lock(spec.feed);
  FileDescriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kMode));
  if (!fd)
    throw Error({.what = "the feed's lock file cannot be opened",
                 .where = path,
                 .found = reason(errno),
                 .remedy = "run as the user that owns the feed, or choose another feed name"});
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    char pid[32] = {};
    const ssize_t got = pread(fd.get(), pid, sizeof(pid) - 1, 0);
    const std::string holder =
        got > 0 ? "process " + std::string(pid, strcspn(pid, "\n")) : "another process";
    throw Error({.what = "the feed has a producer already",
                 .where = path,
                 .found = "locked by " + holder,
                 .expected = "one producer for each feed",
                 .remedy = "stop that process or use another feed name"});
  }
  protect(fd.get(), place.group);
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(fd.get(), 0) == 0)
    (void)!pwrite(fd.get(), pid.data(), pid.size(), 0);
  return fd;
}

/// Unlinks the temporary file unless it was renamed into place.
class TemporaryFile {
public:
  explicit TemporaryFile(std::string path) : path_(std::move(path)) {}
  TemporaryFile(const TemporaryFile &) = delete;
  TemporaryFile &operator=(const TemporaryFile &) = delete;
  ~TemporaryFile() {
    if (!path_.empty())
      (void)unlink(path_.c_str());
  }
  void keep() noexcept { path_.clear(); }

private:
  std::string path_;
};

Mapping create(const SegmentSpec &spec, const SegmentPlace &place) {
  const auto symbols = static_cast<std::uint32_t>(spec.instruments.size());
  const std::uint64_t size = SegmentLayout::of(spec.capacity, symbols, spec.ladder_depth).total;
  struct statvfs room{};
  const bool known = statvfs(place.folder.c_str(), &room) == 0;
  const std::uint64_t free_bytes = known ? static_cast<std::uint64_t>(room.f_bavail) * room.f_frsize : 0;
  const auto no_space = [&](const std::string &found) {
    return Error({.what = "no space for the ring",
                  .where = place.segment(spec.feed),
                  .found = found,
                  .expected = mebibytes(size),
                  .remedy = "free space in " + place.folder + ", or lower ring.capacity"});
  };
  // Asked first: fallocate would otherwise fill the memory of the machine before it fails.
  if (known && free_bytes < size)
    throw no_space(mebibytes(free_bytes) + " free");

  const std::string temporary = place.segment(spec.feed) + ".new." + std::to_string(getpid());
  (void)unlink(temporary.c_str());
  FileDescriptor fd(::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, kMode));
  if (!fd)
    throw Error({.what = "the ring cannot be created",
                 .where = temporary,
                 .found = reason(errno),
                 .remedy = "make " + place.folder + " writable for this user"});
  TemporaryFile guard(temporary);
  protect(fd.get(), place.group);
  if (const int error = posix_fallocate(fd.get(), 0, static_cast<off_t>(size)); error != 0)
    throw no_space(reason(error));
  Mapping mapping(fd.get(), size, true, temporary);
  mapping.use_huge_pages(fd.get());
  format_segment(mapping.data(), spec, realtime_ns());
  const std::string path = place.segment(spec.feed);
  if (rename(temporary.c_str(), path.c_str()) != 0)
    throw Error({.what = "the ring cannot be put in place", .where = path, .found = reason(errno)});
  guard.keep();
  SegmentFault::forget(mapping.data());
  SegmentFault::watch(mapping.data(), size, path);
  return mapping;
}

} // namespace

FileDescriptor &FileDescriptor::operator=(FileDescriptor &&other) noexcept {
  if (this != &other) {
    if (fd_ >= 0)
      ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0)
    ::close(fd_);
}

Mapping::Mapping(int fd, std::uint64_t size, bool writable, const std::string &path) : size_(size) {
  const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  void *at = MAP_FAILED;
  // A huge page can lie only where address and offset in the file agree: at a multiple of its size.
  void *room = mmap(nullptr, size + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room != MAP_FAILED) {
    const auto begin = reinterpret_cast<std::uintptr_t>(room);
    const std::uintptr_t aligned = (begin + kHugePage - 1) / kHugePage * kHugePage;
    munmap(room, size + kHugePage);
    at = mmap(reinterpret_cast<void *>(aligned), size, protection,
              MAP_SHARED | MAP_POPULATE | MAP_FIXED_NOREPLACE, fd, 0);
  }
  if (at == MAP_FAILED)
    at = mmap(nullptr, size, protection, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (at == MAP_FAILED)
    throw Error({.what = "the ring cannot be mapped", .where = path, .found = reason(errno)});
  data_ = static_cast<std::byte *>(at);
  SegmentFault::watch(data_, size_, path);
}

void Mapping::use_huge_pages(int fd) {
  struct statfs place{};
  if (fstatfs(fd, &place) == 0 && static_cast<std::uint64_t>(place.f_type) == kHugetlbfs) {
    pages_ = {Pages::Kind::HugeTlb, size_, {}};
    return;
  }
  const std::uint64_t whole = size_ / kHugePage * kHugePage;
  if (whole == 0) {
    pages_ = {Pages::Kind::Plain, 0, "smaller than one huge page"};
  } else if (madvise(data_, whole, kMadvCollapse) == 0) {
    pages_ = {Pages::Kind::Collapsed, whole, {}};
  } else {
    pages_ = {Pages::Kind::Plain, 0, reason(errno)};
  }
}

std::string Pages::text(std::uint64_t size) const {
  if (kind == Kind::Plain)
    return mebibytes(size) + " in plain pages (" + reason + ")";
  return std::to_string(huge_bytes >> 20U) + " of " + mebibytes(size) + " in huge pages (" +
         (kind == Kind::HugeTlb ? "hugetlbfs" : "MADV_COLLAPSE") + ")";
}

Mapping::Mapping(Mapping &&other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)),
      pages_(std::move(other.pages_)) {}

Mapping &Mapping::operator=(Mapping &&other) noexcept {
  if (this != &other) {
    unmap();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    pages_ = std::move(other.pages_);
  }
  return *this;
}

Mapping::~Mapping() { unmap(); }

void Mapping::unmap() noexcept {
  if (data_ == nullptr)
    return;
  SegmentFault::forget(data_);
  munmap(data_, size_);
}

ProducerSegment ProducerSegment::open(const SegmentSpec &spec, const SegmentPlace &place) {
  ProducerSegment out;
  out.lock_ = elect(spec, place);
  const std::string path = place.segment(spec.feed);
  FileDescriptor fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!fd && errno != ENOENT)
    throw Error({.what = "the ring cannot be opened",
                 .where = path,
                 .found = reason(errno),
                 .remedy = "remove the file, or run as the user that owns it"});
  if (fd) {
    struct stat info{};
    if (fstat(fd.get(), &info) != 0)
      throw Error({.what = "the ring cannot be opened", .where = path, .found = reason(errno)});
    const auto size = static_cast<std::uint64_t>(info.st_size);
    if (size == 0) {
      out.replaced_ = "it was empty";
    } else {
      Mapping old(fd.get(), size, true, path);
      const SegmentView view(old.data());
      out.replaced_ = segment_mismatch(view, size, spec);
      const bool known_layout = segment_unreadable(view, size).empty();
      if (out.replaced_.empty() && shared(view.header().closed).load(std::memory_order_acquire) != 0)
        out.replaced_ = "it was closed";
      if (out.replaced_.empty()) {
        protect(fd.get(), place.group);
        old.use_huge_pages(fd.get());
        out.mapping_ = std::move(old);
        out.continued_ = true;
        return out;
      }
      Mapping fresh = create(spec, place);
      // Only where the field is certainly where this build thinks it is; a reader of another version notices
      // the dead heartbeat instead.
      if (known_layout)
        shared(view.header().closed).store(1, std::memory_order_release);
      out.mapping_ = std::move(fresh);
      return out;
    }
  }
  out.mapping_ = create(spec, place);
  return out;
}

std::string ring_stays(const std::string &feed, const SegmentPlace &place) {
  return "the ring " + place.segment(feed) +
         " stays, for its readers and for the next feed of this name; to be rid of it: rm " +
         place.segment(feed);
}

Mapping map_segment_for_reading(const std::string &feed, const SegmentPlace &place) {
  const std::string path = place.segment(feed);
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd)
    throw Error({.what = "no ring",
                 .where = path,
                 .found = reason(errno),
                 .remedy = "start the feed " + feed + ", or name another"});
  struct stat info{};
  if (fstat(fd.get(), &info) != 0 || info.st_size == 0)
    throw Error({.what = "the ring is empty", .where = path, .remedy = "restart its feed handler"});
  const auto size = static_cast<std::uint64_t>(info.st_size);
  Mapping mapping(fd.get(), size, false, path);
  if (const std::string why = segment_unreadable(SegmentView(mapping.data()), size); !why.empty())
    throw Error({.what = "the ring cannot be read",
                 .where = path,
                 .found = why,
                 .expected = "version " + std::to_string(shm::kVersion),
                 .remedy = "run feed handler and reader of the same release"});
  return mapping;
}

} // namespace quietcore
