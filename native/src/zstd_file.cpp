#include "quietcore/zstd_file.hpp"

#include "quietcore/error.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>

namespace quietcore {
namespace {
constexpr int kLevel = 3;
} // namespace

struct ZstdFile::Context {
  ZSTD_CCtx *stream = ZSTD_createCCtx();
  Context() {
    (void)ZSTD_CCtx_setParameter(stream, ZSTD_c_compressionLevel, kLevel);
    (void)ZSTD_CCtx_setParameter(stream, ZSTD_c_checksumFlag, 1);
  }
  Context(const Context &) = delete;
  Context &operator=(const Context &) = delete;
  ~Context() { ZSTD_freeCCtx(stream); }
};

ZstdFile::ZstdFile(const std::string &path)
    : path_(path), file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640)),
      context_(std::make_unique<Context>()), packed_(ZSTD_CStreamOutSize()) {
  if (!file_)
    throw Error({.what = "recording cannot be made",
                 .where = path,
                 .found = std::strerror(errno),
                 .expected = "a new file in a folder that this user may write to",
                 .remedy = "make the folder, or correct recorder.folder"});
}

ZstdFile::ZstdFile(ZstdFile &&) noexcept = default;
ZstdFile &ZstdFile::operator=(ZstdFile &&) noexcept = default;
ZstdFile::~ZstdFile() = default;

void ZstdFile::add(std::string_view text) {
  pending_ += text.size();
  ZSTD_inBuffer in{text.data(), text.size(), 0};
  while (in.pos < in.size) {
    if (packed_.size() - filled_ < ZSTD_CStreamOutSize())
      packed_.resize(packed_.size() * 2);
    ZSTD_outBuffer out{packed_.data(), packed_.size(), filled_};
    (void)ZSTD_compressStream2(context_->stream, &out, &in, ZSTD_e_continue);
    filled_ = out.pos;
  }
}

bool ZstdFile::finish_frame() {
  if (pending_ == 0)
    return true;
  ZSTD_inBuffer none{nullptr, 0, 0};
  for (std::size_t left = 1; left != 0;) {
    if (packed_.size() - filled_ < ZSTD_CStreamOutSize())
      packed_.resize(packed_.size() * 2);
    ZSTD_outBuffer out{packed_.data(), packed_.size(), filled_};
    left = ZSTD_compressStream2(context_->stream, &out, &none, ZSTD_e_end);
    filled_ = out.pos;
  }
  error_ = 0;
  std::size_t done = 0;
  while (done < filled_ && error_ == 0) {
    const ssize_t wrote = ::write(file_.get(), packed_.data() + done, filled_ - done);
    if (wrote < 0)
      error_ = errno == EINTR ? 0 : errno;
    else
      done += static_cast<std::size_t>(wrote);
  }
  if (error_ == 0 && ::fdatasync(file_.get()) != 0)
    error_ = errno;
  pending_ = 0;
  if (error_ != 0) {
    // A half-written frame would spoil those after it.
    (void)!::ftruncate(file_.get(), static_cast<off_t>(size_));
    (void)::lseek(file_.get(), static_cast<off_t>(size_), SEEK_SET);
    filled_ = 0;
    return false;
  }
  size_ += filled_;
  filled_ = 0;
  return true;
}

} // namespace quietcore
