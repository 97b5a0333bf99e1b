// The venues' lists of instruments: whatever a server answers, there is a list or a refusal of ours.
#include "quietcore/error.hpp"
#include "quietcore/venue.hpp"

#include <cstdlib>
#include <memory>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  using namespace quietcore;
  static const std::unique_ptr<Venue> venues[] = {make_venue("bybit-linear"), make_venue("bybit-spot"),
                                                  make_venue("binance-usdm")};
  const std::string body(reinterpret_cast<const char *>(data), size);
  for (const auto &venue : venues) {
    int asked = 0;
    try {
      const InstrumentList list = venue->instruments([&](const std::string &target) {
        // Whatever a cursor holds, a request line has none of it as it is.
        if (target.find_first_of(" \r\n") != std::string::npos || target.find('\0') != std::string::npos)
          std::abort();
        return ++asked < 5 ? body : std::string("{}");
      });
      for (const Instrument &instrument : list.trading) {
        if (instrument.name.empty() || instrument.name.size() > kMaxSymbolBytes ||
            instrument.tick.mantissa == 0 || instrument.lot.mantissa == 0)
          std::abort();
      }
    } catch (const Error &) {
    }
  }
  return 0;
}
