#include "quietcore/command_line.hpp"

#include "quietcore/error.hpp"

#include <algorithm>
#include <charconv>

namespace quietcore {
namespace {

std::string see_help(const CommandSpec &spec) {
  return "see quietcore-feed " + std::string(spec.name) + " --help";
}

} // namespace

CommandLine::CommandLine(const CommandSpec &spec, std::span<const std::string_view> arguments) : spec_(spec) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      help_ = true;
      return;
    }
    if (!argument.starts_with("-") || argument == "-") {
      const bool several = spec.positional.ends_with("…");
      if (spec.positional.empty() || (!several && !positionals_.empty()))
        throw Error(
            {.what = "unexpected argument", .found = std::string(argument), .remedy = see_help(spec)});
      positionals_.emplace_back(argument);
      continue;
    }
    std::optional<std::string> value;
    if (const std::size_t equals = argument.find('='); equals != std::string_view::npos) {
      value = argument.substr(equals + 1);
      argument = argument.substr(0, equals);
    }
    const auto option = std::find_if(spec.options.begin(), spec.options.end(),
                                     [&](const OptionSpec &known) { return known.name == argument; });
    if (option == spec.options.end())
      throw Error({.what = "unknown option", .found = std::string(argument), .remedy = see_help(spec)});
    if (option->value.empty()) {
      if (value)
        throw Error(
            {.what = "option takes no value", .where = std::string(argument), .remedy = see_help(spec)});
      value = "";
    } else if (!value) {
      if (i + 1 == arguments.size())
        throw Error({.what = "value missing",
                     .where = std::string(argument),
                     .expected = std::string(option->value),
                     .remedy = see_help(spec)});
      value = arguments[++i];
    }
    values_[option->name] = *value;
  }
}

std::optional<std::string> CommandLine::text(std::string_view option) const {
  const auto at = values_.find(option);
  return at == values_.end() ? std::nullopt : std::optional(at->second);
}

std::string CommandLine::required(std::string_view option) const {
  if (const auto value = text(option); value && !value->empty())
    return *value;
  throw Error({.what = "option missing", .where = std::string(option), .remedy = see_help(spec_)});
}

std::optional<std::int64_t> CommandLine::number(std::string_view option, std::int64_t low,
                                                std::int64_t high) const {
  const auto value = text(option);
  if (!value)
    return std::nullopt;
  std::int64_t out = 0;
  const char *end = value->data() + value->size();
  const auto [at, error] = std::from_chars(value->data(), end, out);
  if (error != std::errc() || at != end || out < low || out > high)
    throw Error({.what = "value not usable",
                 .where = std::string(option),
                 .found = *value,
                 .expected = "a whole number from " + std::to_string(low) + " to " + std::to_string(high),
                 .remedy = see_help(spec_)});
  return out;
}

std::string CommandLine::positional() const {
  if (!positionals_.empty())
    return positionals_.front();
  throw Error(
      {.what = "argument missing", .expected = std::string(spec_.positional), .remedy = see_help(spec_)});
}

std::string help_text(const CommandSpec &spec) {
  std::string text = "usage: quietcore-feed " + std::string(spec.name);
  if (!spec.options.empty())
    text += " [options]";
  if (!spec.positional.empty())
    text += " " + std::string(spec.positional);
  text += "\n\n" + std::string(spec.summary) + "\n\n";
  std::vector<std::pair<std::string, std::string_view>> rows;
  if (!spec.positional.empty())
    rows.emplace_back(std::string(spec.positional), spec.positional_help);
  for (const OptionSpec &option : spec.options)
    rows.emplace_back(std::string(option.name) +
                          (option.value.empty() ? "" : " " + std::string(option.value)),
                      option.help);
  rows.emplace_back("--help", "show this");
  std::size_t width = 0;
  for (const auto &[left, right] : rows)
    width = std::max(width, left.size());
  for (const auto &[left, right] : rows)
    text += "  " + left + std::string(width - left.size() + 2, ' ') + std::string(right) + "\n";
  if (!spec.notes.empty())
    text += "\n" + std::string(spec.notes) + "\n";
  return text;
}

void check_feed_name(const std::string &name, const std::string &where) {
  const bool fits = !name.empty() && name.size() <= 31 && name.front() != '.' &&
                    std::all_of(name.begin(), name.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                             c == '-' || c == '_' || c == '.';
                    });
  if (!fits)
    throw Error({.what = "feed name not usable",
                 .where = where,
                 .found = "\"" + name + "\"",
                 .expected = "1 to 31 letters, digits, '-', '_' or '.', not beginning with '.'"});
}

} // namespace quietcore
