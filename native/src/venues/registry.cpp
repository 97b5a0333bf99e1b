// The only place that knows which venues there are.
#include "binance/binance_venue.hpp"
#include "bybit/bybit_venue.hpp"
#include "multicast/multicast_venue.hpp"

#include "quietcore/error.hpp"
#include "quietcore/venue.hpp"

#include <array>

namespace quietcore {
namespace {

struct Entry {
  std::string_view name;
  std::unique_ptr<Venue> (*make)();
};

constexpr std::array<Entry, 6> kVenues{{{"bybit-linear", bybit::make_linear},
                                        {"bybit-inverse", bybit::make_inverse},
                                        {"bybit-spot", bybit::make_spot},
                                        {"binance-usdm", binance::make_usdm},
                                        {"binance-spot", binance::make_spot},
                                        {"multicast", multicast::make_venue}}};

} // namespace

std::vector<std::string_view> venue_names() {
  std::vector<std::string_view> names;
  for (const Entry &entry : kVenues)
    names.push_back(entry.name);
  return names;
}

std::unique_ptr<Venue> make_venue(std::string_view name) {
  std::string built;
  for (const std::string_view known : venue_names()) {
    if (!built.empty())
      built += ", ";
    built += known;
  }
  for (const Entry &entry : kVenues) {
    if (entry.name == name)
      return entry.make();
  }
  throw Error({.what = "unknown venue", .found = std::string(name), .expected = built});
}

} // namespace quietcore
