#include "quietcore/packet_directory.hpp"

namespace quietcore::multicast {

void PacketDirectory::forget() {
  epoch_ = 0;
  known_ = 0;
  symbols_.clear();
}

void PacketDirectory::take(const PacketHeader &header, std::span<const std::byte> packet) {
  if (header.epoch < epoch_ || (header.epoch == epoch_ && complete()))
    return;
  if (header.epoch > epoch_ || header.symbols != symbols_.size()) {
    forget();
    epoch_ = header.epoch;
    symbols_.resize(header.symbols);
  }
  MessageReader reader(packet, header);
  PacketMessage message;
  while (reader.next(message)) {
    if (message.kind != Kind::Symbol || message.symbol >= symbols_.size())
      continue;
    Instrument &instrument = symbols_[message.symbol];
    known_ += instrument.name.empty() ? 1U : 0U;
    const SymbolMessage entry = read_symbol(message.body);
    instrument = {std::string(entry.name), entry.tick, entry.lot};
  }
}

} // namespace quietcore::multicast
