#pragma once

#include "quietcore/command_line.hpp"
#include "quietcore/error.hpp"

#include <span>
#include <string_view>

namespace quietcore {

using Arguments = std::span<const std::string_view>;

extern const CommandSpec kRunCommand;
extern const CommandSpec kReplayCommand;
extern const CommandSpec kVerifyCommand;
extern const CommandSpec kControlCommand;
extern const CommandSpec kPublishCommand;
extern const CommandSpec kMonitorCommand;
extern const CommandSpec kMeasureCommand;

ExitCode run_command(Arguments arguments);
ExitCode replay_command(Arguments arguments);
ExitCode verify_command(Arguments arguments);
ExitCode control_command(Arguments arguments);
ExitCode publish_command(Arguments arguments);
ExitCode monitor_command(Arguments arguments);
ExitCode measure_command(Arguments arguments);

} // namespace quietcore
