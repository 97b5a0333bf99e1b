#pragma once

#include "leg.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace quietcore {

/// The legs of a feed, and the change of one for another while it runs: the new one is made, and the old one
/// broken only when the new one has every book that the old one has.
class EndpointSwitch {
public:
  using MakeLeg = std::function<std::shared_ptr<Leg>(std::uint32_t index, Endpoint endpoint)>;
  /// empty: done; else why not, one line
  using Done = std::function<void(const std::string &problem)>;
  /// Keeps a closed leg until nothing that is already under way can call it.
  using Bury = std::function<void(std::shared_ptr<Leg>)>;

  EndpointSwitch(FeedCore &core, Diagnostics &diagnostics, std::chrono::milliseconds timeout, MakeLeg make,
                 Bury bury)
      : core_(core), diagnostics_(diagnostics), timeout_(timeout), make_(std::move(make)),
        bury_(std::move(bury)) {}

  /// Adds a leg for good. Throws Error.
  void add(Endpoint endpoint);
  /// Begins to replace leg 0 or 1 (in the order of add). Answers through `done`, at once where it cannot
  /// begin.
  void begin(std::size_t which, Endpoint endpoint, Done done);
  /// Looks whether a switch is complete, or hopeless. Often.
  void tend(std::uint64_t now_ns);
  void close_all();

  [[nodiscard]] const std::vector<std::shared_ptr<Leg>> &legs() const noexcept { return legs_; }
  [[nodiscard]] bool switching() const noexcept { return fresh_ != nullptr; }
  /// The leg of an index, the one being made included; nullptr: none.
  [[nodiscard]] Leg *find(std::uint32_t index) const noexcept;
  template <typename Call> void each(const Call &call) const {
    for (const auto &leg : legs_)
      call(*leg);
    if (fresh_)
      call(*fresh_);
  }

private:
  [[nodiscard]] std::shared_ptr<Leg> open(Endpoint endpoint);
  [[nodiscard]] std::size_t missing_books() const;
  void finish(std::uint64_t now_ns);
  void give_up();

  FeedCore &core_;
  Diagnostics &diagnostics_;
  std::chrono::milliseconds timeout_;
  MakeLeg make_;
  Bury bury_;
  std::vector<std::shared_ptr<Leg>> legs_;
  std::shared_ptr<Leg> fresh_; ///< is being made
  std::size_t which_ = 0;      ///< it will replace
  std::uint64_t began_ns_ = 0;
  Done done_{};
};

} // namespace quietcore
