// Lines of recordings from a model, plain and packed.
#include "reader_campaign.hpp"

#include "quietcore/recording.hpp"
#include "quietcore/segment_file.hpp"

#include <array>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

namespace quietcore::test {
namespace {

std::string packed(const std::string &plain) {
  std::string out(compressBound(static_cast<uLong>(plain.size())) + 64, '\0');
  z_stream stream{};
  deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY); // 16: with gzip's head and checksum
  stream.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef *>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

bool is_packed(const std::string &content) { return content.starts_with("\x1f\x8b"); }

/// The lines as text, and how it ended.
std::string read_file(const std::string &path, bool forgetting) {
  RecordingReader reader(path);
  std::string out;
  RecordedLine line;
  while (reader.next(line))
    out += std::to_string(line.number) + " " + std::to_string(forgetting ? 0 : line.receive_ns) +
           (line.ended ? " " : " unended ") + std::string(line.message) + "\n";
  return out + "missing " + std::to_string(reader.missing()) +
         (reader.end() == RecordingEnd::Complete ? ", complete" : ", cut off");
}

Rendered render(Random &random) {
  static constexpr std::array<const char *, 5> kMessages{
      R"({"topic":"x"})", R"({"stream":"币安人生usdt@trade","data":{}})", R"([{"e":"a"}])", "not JSON", "{"};
  Rendered out;
  std::string plain;
  std::uint64_t missing = 0;
  const std::uint64_t lines = 1 + below(random, 12);
  for (std::uint64_t number = 1; number <= lines; ++number) {
    const bool last_open = number == lines && once_in(random, 6);
    const std::string end = last_open ? "" : once_in(random, 8) ? "\r\n" : "\n";
    switch (below(random, 8)) {
    case 0:
      plain += (once_in(random, 2) ? "" : "  \t") + (last_open ? std::string("\n") : end);
      break;
    case 1: {
      const std::uint64_t lost = below(random, 1000);
      missing += lost;
      plain += "# " + std::to_string(lost) + " messages are missing here: no room" + (last_open ? "\n" : end);
      break;
    }
    case 2:
      plain += "# a remark" + (last_open ? std::string("\n") : end);
      break;
    default: {
      const std::string message = kMessages[below(random, kMessages.size())];
      const bool timed = once_in(random, 2);
      const std::uint64_t time = below(random, 1'900'000'000'000'000'000ULL);
      plain += (timed ? std::to_string(time) + " " : "") + message + end;
      out.truth += std::to_string(number) + " " + (timed ? std::to_string(time) : "0") +
                   (last_open ? " unended " : " ") + message + "\n";
    }
    }
  }
  out.truth += "missing " + std::to_string(missing) + ", complete";
  out.input = once_in(random, 3) ? packed(plain) : plain;
  return out;
}

TEST(ReaderCampaign, RecordingLines) {
  const FileDescriptor file(memfd_create("recording", MFD_CLOEXEC));
  const auto read_as = [fd = file.get()](const std::string &input, bool forgetting) -> std::string {
    const auto size = static_cast<ssize_t>(input.size());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, input.data(), input.size(), 0) != size)
      return "not written";
    return read_file("/proc/self/fd/" + std::to_string(fd), forgetting);
  };
  ReaderModel model;
  model.name = "recording-lines";
  model.render = render;
  model.read = [read_as](const std::string &input) { return read_as(input, false); };
  const auto cut_off = [](const std::string &answer) { return answer.ends_with(", cut off"); };
  model.damages = {
      {"packed data that stop early",
       {[](Random &random, const std::string &input) -> std::optional<std::string> {
          const std::string whole = is_packed(input) ? input : packed(input);
          return whole.substr(0, 12 + below(random, whole.size() - 13));
        },
        cut_off}},
      {"packed data with a bit changed",
       {[](Random &random, const std::string &input) -> std::optional<std::string> {
          std::string whole = is_packed(input) ? input : packed(input);
          char &byte = whole[whole.size() - 1 - below(random, 8)]; // checksum and size
          byte = static_cast<char>(byte ^ (1 << below(random, 8)));
          return whole;
        },
        cut_off}},
  };
  model.planted = {
      {"receive times are lost", [read_as](const std::string &input) { return read_as(input, true); }}};
  run_campaign(model);
}

} // namespace
} // namespace quietcore::test
