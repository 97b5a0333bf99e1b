#pragma once

#include "outcome.hpp"

#include <string>

namespace quietcore::bench {

// Each runs over an input for about so many seconds, at least once over the whole of it; where the case keeps
// a book, every pass begins with the input's snapshot.

/// The product: parse, apply to the book, publish ladder changes, quote, table entry and BOOK tick.
[[nodiscard]] Outcome feed_throughput(const std::string &input, double seconds);
/// The product, each message timed alone: mean and percentiles of deltas and of snapshots, ns.
[[nodiscard]] Outcome feed_latency(const std::string &input, double seconds);
/// The baseline: simdjson on-demand into two sorted arrays, nothing published.
[[nodiscard]] Outcome plain_book(const std::string &input, double seconds);
/// The limit: simdjson on-demand walks the same bytes, get_string on every price and size, no book.
[[nodiscard]] Outcome simdjson_walk(const std::string &input, double seconds);

// A report of the hot path to a log that a thread on another CPU writes; the input does not matter.

/// Diagnostics::report(), median over blocks of 1,000 calls with the empty loop subtracted.
[[nodiscard]] Outcome log_call(const std::string &input, double seconds);
/// As many plain stores to as many cache lines, measured in the same way.
[[nodiscard]] Outcome line_stores(const std::string &input, double seconds);

// Between two CPUs; the input does not matter. Operations are round trips, or ticks taken and checked.

[[nodiscard]] Outcome raw_round_trip(const std::string &input, double seconds);
[[nodiscard]] Outcome ring_round_trip(const std::string &input, double seconds);
[[nodiscard]] Outcome boost_round_trip(const std::string &input, double seconds);
[[nodiscard]] Outcome bulk_throughput(const std::string &input, double seconds);
[[nodiscard]] Outcome ring_throughput(const std::string &input, double seconds);
[[nodiscard]] Outcome boost_throughput(const std::string &input, double seconds);

/// Takes every tick of a full segment, /dev/shm/NAME, whose words are each the tick's number; again and
/// again.
[[nodiscard]] Outcome ring_drain(const std::string &input, double seconds);

// From bytes written to a loopback connection to shared memory on the other CPU; `more` has p50_ns and
// p99_ns.

/// `quietcore-feed run`: until the last tick of each message is in the ring.
[[nodiscard]] Outcome wire_to_tick(const std::string &input, double seconds);
/// A peer that makes one receive call and one store for each.
[[nodiscard]] Outcome wire_to_slot(const std::string &input, double seconds);

/// 2,048 symbols with windowed books of depth 200 and their table, through so many messages; `more` has the
/// bytes that one takes, those of a deep book, and the resident size early on and at the end.
[[nodiscard]] Outcome memory(const std::string &messages, double seconds);

} // namespace quietcore::bench
