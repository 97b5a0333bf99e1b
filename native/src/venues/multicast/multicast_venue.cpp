#include "multicast_venue.hpp"

#include "multicast_parser.hpp"

#include "quietcore/unasked_venue.hpp"

namespace quietcore::multicast {
namespace {

/// Numbers count up by one. A whole book replaces what is not newer, also where it comes between the rounds.
class NumberRule final : public SyncRule {
public:
  Verdict judge(const DepthMessage &message, const BookSync &sync) const noexcept override {
    if (message.standing == Standing::Doubtful)
      return Verdict::Doubt;
    if (message.standing == Standing::Lost)
      return Verdict::Lose;
    if (message.snapshot) {
      if (!sync.has_snapshot || message.last_id > sync.last_id)
        return Verdict::Reset;
      if (message.last_id < sync.last_id)
        return Verdict::Keep; // older than the book: no word on a book in doubt
      // In doubt, and what the book had last is still the last: Drop makes it LIVE where deltas have followed
      // a snapshot, a snapshot in its place does otherwise.
      return sync.state == shm::State::LIVE || sync.bridged ? Verdict::Drop : Verdict::Reset;
    }
    if (!sync.has_snapshot || message.last_id <= sync.last_id)
      return Verdict::Drop;
    return message.previous_id == sync.last_id ? Verdict::Apply : Verdict::Gap;
  }
  bool live_at_snapshot() const noexcept override { return true; }
  bool holds_deltas() const noexcept override { return false; }
};

class MulticastVenue final : public UnaskedVenue {
public:
  [[nodiscard]] std::string_view name() const noexcept override { return "multicast"; }
  [[nodiscard]] Transport transport() const noexcept override { return Transport::Multicast; }
  [[nodiscard]] std::unique_ptr<Parser> make_parser() const override { return multicast::make_parser(); }
  [[nodiscard]] const SyncRule &rule() const noexcept override {
    static const NumberRule rule;
    return rule;
  }
  [[nodiscard]] bool absent_delete_is_wrong() const noexcept override { return true; }
};

} // namespace

std::unique_ptr<Venue> make_venue() { return std::make_unique<MulticastVenue>(); }

} // namespace quietcore::multicast
