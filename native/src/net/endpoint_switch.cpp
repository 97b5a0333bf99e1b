#include "endpoint_switch.hpp"

#include "quietcore/clock.hpp"
#include "quietcore/error.hpp"

#include <utility>

namespace quietcore {

std::shared_ptr<Leg> EndpointSwitch::open(Endpoint endpoint) {
  std::uint32_t index = 0;
  while (find(index) != nullptr)
    ++index;
  core_.open_leg(index);
  std::shared_ptr<Leg> leg = make_(index, std::move(endpoint));
  return leg;
}

void EndpointSwitch::add(Endpoint endpoint) {
  std::shared_ptr<Leg> leg = open(std::move(endpoint));
  legs_.push_back(leg);
  leg->open();
}

Leg *EndpointSwitch::find(std::uint32_t index) const noexcept {
  for (const auto &leg : legs_) {
    if (leg->index() == index)
      return leg.get();
  }
  return fresh_ && fresh_->index() == index ? fresh_.get() : nullptr;
}

void EndpointSwitch::begin(std::size_t which, Endpoint endpoint, Done done) {
  if (fresh_) {
    done("a switch to " + fresh_->endpoint().websocket + " is under way");
    return;
  }
  if (which >= legs_.size()) {
    done("there is no second connection to replace: set websocket_b");
    return;
  }
  which_ = which;
  done_ = std::move(done);
  began_ns_ = monotonic_ns();
  diagnostics_.say("switching from " + legs_[which]->endpoint().websocket + " to " + endpoint.websocket);
  try {
    fresh_ = open(std::move(endpoint));
    fresh_->open();
  } catch (const Error &error) {
    const std::string problem = error.what();
    if (fresh_) {
      fresh_->close();
      core_.close_leg(fresh_->index());
      bury_(std::exchange(fresh_, nullptr));
    }
    std::exchange(done_, {})(problem);
  }
}

std::size_t EndpointSwitch::missing_books() const {
  std::size_t missing = 0;
  const std::uint32_t old = legs_[which_]->index();
  for (std::uint32_t symbol = 0; symbol < core_.instruments().size(); ++symbol)
    missing += core_.leg_book(symbol, old).state == shm::State::LIVE &&
                       core_.leg_book(symbol, fresh_->index()).state != shm::State::LIVE
                   ? 1U
                   : 0U;
  return missing;
}

void EndpointSwitch::tend(std::uint64_t now_ns) {
  if (!fresh_)
    return;
  if (fresh_->ready() && missing_books() == 0)
    finish(now_ns);
  else if (now_ns - began_ns_ > static_cast<std::uint64_t>(timeout_.count()) * 1'000'000)
    give_up();
}

void EndpointSwitch::finish(std::uint64_t now_ns) {
  std::shared_ptr<Leg> old = std::exchange(legs_[which_], std::exchange(fresh_, nullptr));
  old->close();
  core_.close_leg(old->index());
  bury_(std::move(old));
  ++core_.statistics().switches;
  core_.pause();
  diagnostics_.say("switched to " + legs_[which_]->endpoint().websocket + " after " +
                   std::to_string((now_ns - began_ns_) / 1'000'000) + " ms; the old connections are closed");
  std::exchange(done_, {})("");
}

void EndpointSwitch::give_up() {
  const LegState state = fresh_->state();
  const std::string problem =
      Finding{.what = "no switch",
              .where = state.websocket,
              .found = std::to_string(state.ready) + " of " + std::to_string(state.connections) +
                       " connections ready, " + std::to_string(missing_books()) + " books missing" +
                       (state.last_trouble.empty() ? "" : ", last trouble: " + state.last_trouble),
              .expected = "every book that is LIVE now, within " + std::to_string(timeout_.count()) + " ms",
              .remedy = "the old connections stay; check the address"}
          .message();
  diagnostics_.say(problem);
  std::shared_ptr<Leg> fresh = std::exchange(fresh_, nullptr);
  fresh->close();
  core_.close_leg(fresh->index());
  bury_(std::move(fresh));
  core_.pause();
  std::exchange(done_, {})(problem);
}

void EndpointSwitch::close_all() {
  each([](Leg &leg) { leg.close(); });
  if (done_)
    std::exchange(done_, {})("the feed was stopped");
}

} // namespace quietcore
