#include "quietcore/recording.hpp"

#include "quietcore/error.hpp"
#include "quietcore/market_message.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

namespace quietcore {
namespace {
constexpr std::size_t kChunk = std::size_t{1} << 18U;
/// Four times the longest message that the feed handler takes from a connection.
constexpr std::size_t kLongestLine = std::size_t{64} << 20U;
} // namespace

/// A plain or packed file as bytes.
struct RecordingReader::Source {
  enum class Got : std::uint8_t { Some, End, Damaged };

  Source() = default;
  Source(const Source &) = delete;
  Source &operator=(const Source &) = delete;
  virtual ~Source() = default;
  /// Reads up to `size` bytes; what comes with Damaged or End is good too.
  virtual Got read(char *to, std::size_t size, std::size_t &got) = 0;

  struct Gzip;
  struct Zstd;
};

/// Hands plain files through.
struct RecordingReader::Source::Gzip final : Source {
  explicit Gzip(const std::string &path) : file(gzopen(path.c_str(), "rb")) {
    if (file != nullptr)
      gzbuffer(file, static_cast<unsigned>(kChunk));
  }
  Gzip(const Gzip &) = delete;
  Gzip &operator=(const Gzip &) = delete;
  ~Gzip() override {
    if (file != nullptr)
      gzclose_r(file);
  }

  Got read(char *to, std::size_t size, std::size_t &got) override {
    const int count = gzread(file, to, static_cast<unsigned>(size));
    got = count > 0 ? static_cast<std::size_t>(count) : 0;
    if (got == size)
      return Got::Some;
    // A gzip file that stops early shows Z_BUF_ERROR, a damaged one Z_DATA_ERROR.
    int error = Z_OK;
    (void)gzerror(file, &error);
    if (count < 0 || (error != Z_OK && error != Z_STREAM_END))
      return Got::Damaged;
    return got == 0 || gzeof(file) != 0 ? Got::End : Got::Some;
  }

  gzFile file;
};

struct RecordingReader::Source::Zstd final : Source {
  explicit Zstd(const std::string &path)
      : file(std::fopen(path.c_str(), "rb")), packed(ZSTD_DStreamInSize()) {}
  Zstd(const Zstd &) = delete;
  Zstd &operator=(const Zstd &) = delete;
  ~Zstd() override {
    ZSTD_freeDCtx(stream);
    if (file != nullptr)
      std::fclose(file);
  }

  Got read(char *to, std::size_t size, std::size_t &got) override {
    ZSTD_outBuffer out{to, size, 0};
    while (out.pos < out.size) {
      if (in.pos == in.size) {
        in = {packed.data(), std::fread(packed.data(), 1, packed.size(), file), 0};
        if (in.size == 0) {
          got = out.pos;
          return inside ? Got::Damaged : Got::End; // within a frame: it stops early
        }
      }
      const std::size_t left = ZSTD_decompressStream(stream, &out, &in);
      if (ZSTD_isError(left) != 0) {
        got = out.pos;
        return Got::Damaged;
      }
      inside = left != 0;
    }
    got = out.pos;
    return Got::Some;
  }

  std::FILE *file;
  ZSTD_DCtx *stream = ZSTD_createDCtx();
  std::vector<char> packed;
  ZSTD_inBuffer in{nullptr, 0, 0};
  bool inside = false; ///< a frame has begun and not ended
};

RecordingReader::RecordingReader(std::string path) : path_(std::move(path)) {
  const auto refuse = [&](const std::string &why) {
    throw Error(
        {.what = "the recording cannot be read",
         .where = path_,
         .found = why,
         .expected =
             "a readable file of `receive_ns raw_json` or `raw_json` lines, or a capture (pcap), plain, "
             "gzip or zstd"});
  };
  struct stat info{};
  if (stat(path_.c_str(), &info) != 0)
    refuse(std::strerror(errno));
  if (S_ISDIR(info.st_mode))
    refuse("a folder");
  std::FILE *probe = std::fopen(path_.c_str(), "rb");
  if (probe == nullptr)
    refuse(std::strerror(errno));
  std::array<unsigned char, 4> magic{};
  const std::size_t got = std::fread(magic.data(), 1, magic.size(), probe);
  std::fclose(probe);
  if (got == magic.size() && magic == std::array<unsigned char, 4>{0x28, 0xb5, 0x2f, 0xfd})
    file_ = std::make_unique<Source::Zstd>(path_);
  else
    file_ = std::make_unique<Source::Gzip>(path_);
  buffer_.resize(2 * kChunk + kMessagePadding);
  (void)have(pcap::kFileHead);
  const std::string_view first(buffer_.data(), filled_);
  const pcap::Magic kind = pcap::magic_of(first);
  if (kind == pcap::Magic::None)
    return;
  capture_ = pcap::read_file_head(first);
  if (!capture_)
    throw Error({.what = "the capture cannot be read",
                 .where = path_,
                 .found = kind == pcap::Magic::Pcapng ? "the pcapng format"
                                                      : "no whole head, or a link type not known",
                 .expected = "pcap with link type Ethernet, RAW, IPV4 or LINUX_SLL",
                 .remedy = "convert it with editcap -F nsecpcap"});
  begin_ = pcap::kFileHead;
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
  if (filled_ > kLongestLine)
    throw Error({.what = "the recording cannot be read",
                 .where = path_ + ":" + std::to_string(line_ + 1),
                 .found = "a line of more than " + std::to_string(kLongestLine >> 20U) + " MiB",
                 .expected = "one message a line"});
  if (buffer_.size() - kMessagePadding - filled_ < kChunk)
    buffer_.resize(buffer_.size() * 2);
  std::size_t got = 0;
  const Source::Got what = file_->read(buffer_.data() + filled_, kChunk, got);
  filled_ += got;
  eof_ = what != Source::Got::Some;
  if (what == Source::Got::Damaged)
    end_ = RecordingEnd::Truncated;
  return got > 0;
}

bool RecordingReader::have(std::size_t size) {
  while (filled_ - begin_ < size) {
    if (!refill())
      return false;
  }
  return true;
}

bool RecordingReader::next(RecordedLine &line) { return capture_ ? next_packet(line) : next_line(line); }

void RecordingReader::count_missing(std::string_view remark) {
  std::uint64_t count = 0;
  if (!remark.starts_with("# ") || remark.find(" messages are missing here") == std::string_view::npos)
    return;
  (void)std::from_chars(remark.data() + 2, remark.data() + remark.size(), count);
  missing_ += count;
}

bool RecordingReader::next_packet(RecordedLine &line) {
  while (have(pcap::kRecordHead)) {
    const pcap::Record record =
        pcap::read_record_head(*capture_, {buffer_.data() + begin_, pcap::kRecordHead});
    if (record.size > pcap::kLargestFrame || !have(pcap::kRecordHead + record.size)) {
      end_ = RecordingEnd::Truncated;
      return false;
    }
    const std::string_view captured(buffer_.data() + begin_ + pcap::kRecordHead, record.size);
    begin_ += pcap::kRecordHead + record.size;
    ++line_;
    const std::optional<pcap::Udp> udp = pcap::read_udp(*capture_, captured);
    if (!udp)
      continue;
    if (udp->is_remark()) {
      count_missing(udp->payload);
      continue;
    }
    line.number = line_;
    line.receive_ns = record.time_ns;
    line.message = udp->payload;
    line.ended = true;
    return true;
  }
  if (filled_ != begin_)
    end_ = RecordingEnd::Truncated;
  return false;
}

bool RecordingReader::next_line(RecordedLine &line) {
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
    if (text.starts_with("# ")) {
      count_missing(text);
      continue;
    }
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
