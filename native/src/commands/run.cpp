#include "commands.hpp"

namespace quietcore {
constexpr CommandSpec kRunCommand{"run", "Follows a live venue.", "", "", {}, ""};
ExitCode run_command(Arguments) { throw Error({.what = "run is not built yet"}); }
} // namespace quietcore
