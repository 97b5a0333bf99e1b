#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace quietcore::test {

/// Every behaviour that C++20 allows a reader of words that one thread writes, one after the other.
///
/// The view machine of Kang et al., "A Promising Semantics for Relaxed-Memory Concurrency" (POPL 2017),
/// without promises, which only matter to threads that store what they have loaded: each store adds a message
/// to its word's history, with the view (how far into each word's history) that it carries; a load may see
/// any message not older than its thread's view. As the writer loads nothing, all of its messages are written
/// first, and the reader's choices among them cover every interleaving. Choices are tried by running the
/// reader again and again.
class WeakMemory {
public:
  using View = std::map<const void *, std::size_t>;

  struct Message {
    std::uint64_t value;
    View view;
  };

  struct Word {
    std::vector<Message> history{{0, {}}};
  };

  /// What a checker leaves out of the protocol, to show that it is needed.
  struct Without {
    bool fence_release = false;
    bool fence_acquire = false;
    bool store_release = false;
    bool load_acquire = false;
  };

  explicit WeakMemory(Without without) : without_(without) {}

  // The writer.
  void store_relaxed(Word &word, std::uint64_t value) { store(word, value, released_); }
  void store_release(Word &word, std::uint64_t value) {
    store(word, value, without_.store_release ? released_ : written_);
  }
  void fence_release() {
    if (!without_.fence_release)
      released_ = written_;
  }

  // The reader.
  std::uint64_t load_relaxed(Word &word) { return load(word).value; }
  std::uint64_t load_acquire(Word &word) {
    const Message &seen = load(word);
    if (!without_.load_acquire)
      join(current_, seen.view);
    return seen.value;
  }
  void fence_acquire() {
    if (!without_.fence_acquire)
      join(current_, pending_);
  }

  /// Runs `reader` once for each way in which its loads may turn out; returns how many there were.
  template <typename Reader> std::uint64_t explore(Reader &&reader) {
    std::uint64_t runs = 0;
    choices_.clear();
    do {
      current_.clear();
      pending_.clear();
      chosen_ = 0;
      reader();
      ++runs;
    } while (next_path());
    return runs;
  }

private:
  struct Choice {
    std::size_t taken;
    std::size_t of;
  };

  static void join(View &into, const View &other) {
    for (const auto &[word, stamp] : other) {
      std::size_t &mine = into[word];
      mine = mine > stamp ? mine : stamp;
    }
  }

  void store(Word &word, std::uint64_t value, const View &view) {
    written_[&word] = word.history.size();
    Message message{value, view};
    message.view[&word] = word.history.size();
    word.history.push_back(std::move(message));
  }

  const Message &load(Word &word) {
    const std::size_t oldest = current_[&word];
    const std::size_t stamp = oldest + choose(word.history.size() - oldest);
    current_[&word] = stamp;
    join(pending_, word.history[stamp].view);
    return word.history[stamp];
  }

  std::size_t choose(std::size_t of) {
    if (chosen_ == choices_.size())
      choices_.push_back({0, of});
    return choices_[chosen_++].taken;
  }

  /// Goes to the next path in depth-first order; false after the last.
  bool next_path() {
    while (!choices_.empty() && choices_.back().taken + 1 == choices_.back().of)
      choices_.pop_back();
    if (choices_.empty())
      return false;
    ++choices_.back().taken;
    return true;
  }

  Without without_;
  View written_;  ///< writer: all of its stores
  View released_; ///< writer: those before its last release fence
  View current_;  ///< reader: what it must not see less than
  View pending_;  ///< reader: what an acquire fence will add
  std::vector<Choice> choices_;
  std::size_t chosen_ = 0;
};

/// The protocol takes its memory by value.
struct WeakMemoryReference {
  using Word = WeakMemory::Word;
  WeakMemory *memory;

  std::uint64_t load_acquire(Word &word) const { return memory->load_acquire(word); }
  std::uint64_t load_relaxed(Word &word) const { return memory->load_relaxed(word); }
  void store_relaxed(Word &word, std::uint64_t value) const { memory->store_relaxed(word, value); }
  void store_release(Word &word, std::uint64_t value) const { memory->store_release(word, value); }
  void fence_acquire() const { memory->fence_acquire(); }
  void fence_release() const { memory->fence_release(); }
};

} // namespace quietcore::test
