// Recordings: plain, packed or damaged, reading ends, and no line is longer than the file can hold.
#include "quietcore/error.hpp"
#include "quietcore/recording.hpp"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <unistd.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  using namespace quietcore;
  static const std::string path = "/tmp/quietcore-fuzz-recording-" + std::to_string(getpid());
  std::FILE *file = std::fopen(path.c_str(), "wb");
  if (file == nullptr)
    return 0;
  const bool written = std::fwrite(data, 1, size, file) == size;
  std::fclose(file);
  try {
    RecordingReader reader(path);
    RecordedLine line;
    std::uint64_t before = 0;
    while (written && reader.next(line)) {
      if (line.number <= before || line.receive_ns < 0)
        std::abort();
      before = line.number;
    }
  } catch (const Error &) {
  }
  (void)std::remove(path.c_str());
  return 0;
}
