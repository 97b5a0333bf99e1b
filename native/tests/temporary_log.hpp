#pragma once

#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <unistd.h>

namespace quietcore::test {

/// A file for Diagnostics to write to; declare it before them.
class TemporaryLog {
public:
  [[nodiscard]] std::FILE *file() const noexcept { return file_.get(); }

  /// All that was written so far; flush the diagnostics first.
  [[nodiscard]] std::string text() const {
    std::string text;
    std::array<char, 4096> part{};
    // Beside the stream, whose position is the writer's.
    for (ssize_t size = 0;
         (size = pread(fileno(file_.get()), part.data(), part.size(), static_cast<off_t>(text.size()))) > 0;)
      text.append(part.data(), static_cast<std::size_t>(size));
    return text;
  }

private:
  struct Close {
    void operator()(std::FILE *file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> file_{std::tmpfile()};
};

} // namespace quietcore::test
