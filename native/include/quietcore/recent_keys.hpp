#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace quietcore {

/// The last few hundred keys seen, so that what comes a second time is known. Its memory comes with the first
/// use.
class RecentKeys {
public:
  static constexpr std::size_t kKept = 1024;

  void prepare() {
    if (!keys_)
      keys_ = std::make_unique<Keys>();
  }
  [[nodiscard]] bool prepared() const noexcept { return keys_ != nullptr; }

  /// Remembers a key, which is not 0; false where it was known. Call prepare() first.
  [[nodiscard]] bool add(std::uint64_t key) noexcept {
    if (std::find(keys_->begin(), keys_->end(), key) != keys_->end())
      return false;
    (*keys_)[next_++ % kKept] = key;
    return true;
  }

private:
  using Keys = std::array<std::uint64_t, kKept>;
  std::unique_ptr<Keys> keys_;
  std::size_t next_ = 0;
};

} // namespace quietcore
