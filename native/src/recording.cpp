#include "quietcore/recording.hpp"

#include "quietcore/error.hpp"
#include "quietcore/market_message.hpp"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <sys/stat.h>
#include <zlib.h>

namespace quietcore {
namespace {
constexpr std::size_t kChunk = std::size_t{1} << 18U;
} // namespace

struct RecordingReader::Gzip {
  gzFile file = nullptr;
  Gzip() = default;
  Gzip(const Gzip &) = delete;
  Gzip &operator=(const Gzip &) = delete;
  ~Gzip() {
    if (file != nullptr)
      gzclose_r(file);
  }
};

RecordingReader::RecordingReader(std::string path) : path_(std::move(path)), file_(std::make_unique<Gzip>()) {
  const auto refuse = [&](const std::string &why) {
    throw Error({.what = "the recording cannot be read",
                 .where = path_,
                 .found = why,
                 .expected = "a readable file of `receive_ns raw_json` or `raw_json` lines, plain or gzip"});
  };
  struct stat info{};
  if (stat(path_.c_str(), &info) != 0)
    refuse(std::strerror(errno));
  if (S_ISDIR(info.st_mode))
    refuse("a folder");
  file_->file = gzopen(path_.c_str(), "rb"); // hands plain files through
  if (file_->file == nullptr)
    refuse(std::strerror(errno));
  gzbuffer(file_->file, static_cast<unsigned>(kChunk));
  buffer_.resize(2 * kChunk + kMessagePadding);
}

RecordingReader::RecordingReader(RecordingReader &&) noexcept = default;
RecordingReader &RecordingReader::operator=(RecordingReader &&) noexcept = default;
RecordingReader::~RecordingReader() = default;

bool RecordingReader::refill() {
  if (eof_)
    return false;
  if (begin_ != 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, filled_ - begin_);
    filled_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() - kMessagePadding - filled_ < kChunk)
    buffer_.resize(buffer_.size() * 2);
  const int got = gzread(file_->file, buffer_.data() + filled_, static_cast<unsigned>(kChunk));
  if (got > 0)
    filled_ += static_cast<std::size_t>(got);
  if (got < static_cast<int>(kChunk)) {
    // A gzip file that stops early shows Z_BUF_ERROR, a damaged one Z_DATA_ERROR; what was read stays good.
    int error = Z_OK;
    (void)gzerror(file_->file, &error);
    if (got < 0 || (error != Z_OK && error != Z_STREAM_END))
      end_ = RecordingEnd::Truncated;
    if (got <= 0 || gzeof(file_->file) != 0 || end_ == RecordingEnd::Truncated)
      eof_ = true;
  }
  return got > 0;
}

bool RecordingReader::next(RecordedLine &line) {
  std::size_t scanned = 0;
  for (;;) {
    const char *data = buffer_.data() + begin_;
    const std::size_t have = filled_ - begin_;
    const auto *feed = have > scanned
                           ? static_cast<const char *>(std::memchr(data + scanned, '\n', have - scanned))
                           : nullptr;
    if (feed == nullptr) {
      scanned = have;
      if (refill())
        continue;
      if (filled_ == begin_)
        return false;
    }
    data = buffer_.data() + begin_;
    std::size_t length = feed != nullptr ? static_cast<std::size_t>(feed - data) : filled_ - begin_;
    begin_ += length + (feed != nullptr ? 1 : 0);
    scanned = 0;
    ++line_;
    if (length != 0 && data[length - 1] == '\r')
      --length;
    std::string_view text(data, length);
    line.number = line_;
    line.ended = feed != nullptr;
    line.receive_ns = 0;
    if (!text.empty() && text.front() >= '0' && text.front() <= '9') {
      const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), line.receive_ns);
      if (error == std::errc() && at != text.data() + text.size() && *at == ' ')
        text.remove_prefix(static_cast<std::size_t>(at - text.data()) + 1);
      else
        line.receive_ns = 0; // left as it is: the parser refuses it
    }
    if (text.find_first_not_of(" \t") == std::string_view::npos)
      continue;
    line.message = text;
    return true;
  }
}

} // namespace quietcore
