#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace quietcore {

/// What a command's exit status means, the same for every command of the project.
enum class ExitCode : int {
  Ok = 0,
  Found = 1,   ///< a comparison that does not hold
  Usage = 2,   ///< wrong usage or configuration
  Unknown = 3, ///< could not tell
};

/// The parts of a message about something a user can mend; parts left empty are left out.
struct Finding {
  std::string what;
  std::string where{};
  std::string found{};
  std::string expected{};
  std::string remedy{};

  /// One line: "what: where; found …; expected …; remedy: …".
  [[nodiscard]] std::string message() const {
    std::string line = where.empty() ? what : what + ": " + where;
    if (!found.empty())
      line += "; found " + found;
    if (!expected.empty())
      line += "; expected " + expected;
    if (!remedy.empty())
      line += "; remedy: " + remedy;
    return line;
  }
};

/// A finding that ends the command. Thrown only before or after the hot path, never on it.
class Error : public std::runtime_error {
public:
  explicit Error(const Finding &finding, ExitCode code = ExitCode::Usage)
      : std::runtime_error(finding.message()), code_(code) {}

  [[nodiscard]] ExitCode code() const noexcept { return code_; }

private:
  ExitCode code_;
};

} // namespace quietcore
