#include "fuzz_parser.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  static const std::unique_ptr<quietcore::Parser> parser =
      quietcore::make_venue("binance-usdm")->make_parser();
  quietcore::fuzz::parse_both_ways(*parser, data, size);
  return 0;
}
