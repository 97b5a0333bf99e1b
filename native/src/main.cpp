#include "commands/commands.hpp"

#include "quietcore/segment_fault.hpp"
#include "quietcore/shared_memory.hpp"

#include <array>
#include <cstdio>
#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <vector>

namespace {

using namespace quietcore;

struct Command {
  const CommandSpec &spec;
  ExitCode (*run)(Arguments);
};

const std::array<Command, 7> kCommands{{{kRunCommand, run_command},
                                        {kReplayCommand, replay_command},
                                        {kVerifyCommand, verify_command},
                                        {kControlCommand, control_command},
                                        {kPublishCommand, publish_command},
                                        {kMonitorCommand, monitor_command},
                                        {kMeasureCommand, measure_command}}};

/// "run, replay or verify".
std::string command_names() {
  std::string names;
  for (std::size_t i = 0; i < kCommands.size(); ++i)
    names += (i == 0 ? "" : i + 1 == kCommands.size() ? " or " : ", ") + std::string(kCommands[i].spec.name);
  return names;
}

std::string usage() {
  std::string text =
      "usage: quietcore-feed COMMAND [options]\n\n"
      "Reads exchange market data and publishes books, trades and quotes to shared memory.\n\n";
  for (const Command &command : kCommands) {
    const std::string_view summary = command.spec.summary;
    text += "  " + std::string(command.spec.name) + std::string(10 - command.spec.name.size(), ' ') +
            std::string(summary.substr(0, summary.find_first_of(",.:"))) + "\n";
  }
  return text + "\n  --version  show version and layout\n"
                "  COMMAND --help  show a command's options\n\n"
                "exit status: 0 ok; 1 found something; 2 wrong usage or configuration; 3 could not tell\n";
}

ExitCode dispatch(Arguments arguments) {
  if (arguments.empty())
    throw Error({.what = "no command", .expected = command_names(), .remedy = "see quietcore-feed --help"});
  const std::string_view name = arguments.front();
  if (name == "--help" || name == "-h" || name == "help") {
    std::cout << usage();
    return ExitCode::Ok;
  }
  if (name == "--version") {
    std::printf("quietcore-feed %s (shared memory version %u, schema %016llx)\n", QUIETCORE_VERSION,
                shm::kVersion, static_cast<unsigned long long>(shm::kSchemaHash));
    return ExitCode::Ok;
  }
  for (const Command &command : kCommands) {
    if (command.spec.name == name)
      return command.run(arguments.subspan(1));
  }
  throw Error({.what = "unknown command",
               .found = std::string(name),
               .expected = command_names(),
               .remedy = "see quietcore-feed --help"});
}

} // namespace

int main(int argc, char **argv) {
  const std::vector<std::string_view> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  SegmentFault::install();
  try {
    return static_cast<int>(dispatch(arguments));
  } catch (const Error &error) {
    std::fprintf(stderr, "quietcore-feed: %s\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::bad_alloc &) {
    std::fprintf(stderr, "quietcore-feed: out of memory; remedy: fewer symbols, or a smaller ring\n");
  } catch (const std::exception &error) {
    std::fprintf(stderr, "quietcore-feed: unexpected: %s\n", error.what());
  }
  return static_cast<int>(ExitCode::Unknown);
}
