#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quietcore {

/// One option of a command. Without a value name it is a flag.
struct OptionSpec {
  std::string_view name; ///< with its dashes
  std::string_view value;
  std::string_view help;
};

/// A command as its help shows it.
struct CommandSpec {
  std::string_view name;
  std::string_view summary;
  std::string_view positional; ///< "" where it takes none, "A B…" where it takes several
  std::string_view positional_help;
  std::span<const OptionSpec> options;
  std::string_view notes; ///< shown last
};

/// A parsed command line. Everything wrong with it throws Error (exit 2).
class CommandLine {
public:
  CommandLine(const CommandSpec &spec, std::span<const std::string_view> arguments);

  [[nodiscard]] bool help() const noexcept { return help_; }
  [[nodiscard]] bool has(std::string_view option) const { return values_.contains(option); }
  [[nodiscard]] std::optional<std::string> text(std::string_view option) const;
  [[nodiscard]] std::string required(std::string_view option) const;
  /// A whole number within [low, high].
  [[nodiscard]] std::optional<std::int64_t> number(std::string_view option, std::int64_t low,
                                                   std::int64_t high) const;
  /// The positional argument, or the first of several.
  [[nodiscard]] std::string positional() const;
  [[nodiscard]] const std::vector<std::string> &positionals() const noexcept { return positionals_; }

private:
  const CommandSpec &spec_;
  std::map<std::string_view, std::string> values_;
  std::vector<std::string> positionals_;
  bool help_ = false;
};

/// The help text of one command.
[[nodiscard]] std::string help_text(const CommandSpec &spec);

/// A feed's name goes into file names: letters, digits, '-', '_' and '.', at most 31. Throws Error.
void check_feed_name(const std::string &name, const std::string &where);

} // namespace quietcore
