// Generated from native/schema/shared_memory.toml by native/schema/generate.py: do not edit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quietcore::shm {

inline constexpr std::uint32_t kVersion = 2;
inline constexpr std::uint64_t kMagic = 0x31303045524f4351ULL;
inline constexpr std::uint64_t kSchemaHash = 0xeb70da158e837445ULL;

/// What a tick is; decides how payload words a to d are read.
enum class Kind : std::uint8_t {
  BBO = 1, ///< best bid and offer: a bid price, b bid size, c ask price, d ask size (0 size: that side is empty)
  TRADE = 2, ///< a price, b size, c venue trade id (0 where it is no number), flag SELL: the taker sold
  LEVEL = 3, ///< one change of the top-N ladder: a price, b new size (0: gone), c update id, flag SELL: ask side
  BOOK = 4, ///< ends each applied book message: a update id, b venue sequence, c levels (bids << 32 | asks) of the whole book, d state
  RESTART = 5, ///< a new producer took over: a new epoch, b previous producer's pid
};

/// State of a book. Only LIVE with a fresh heartbeat and an unchanged epoch may be traded on.
enum class State : std::uint8_t {
  EMPTY = 0, ///< nothing received yet
  RESYNC = 1, ///< waiting for a snapshot, or for the first delta that fits it
  STALE = 2, ///< was live; connection or producer lost
  LIVE = 3, ///< every delta since the snapshot applied, not crossed
};

/// Bits of a tick's flags.
enum class Flag : std::uint16_t {
  SELL = 1, ///< trade: the taker sold; level: ask side
  FROM_TICKER = 2, ///< BBO from the venue's own ticker stream; without it, from the book
  SNAPSHOT = 4, ///< belongs to a snapshot
  VENUE_TIME_FOREIGN = 8, ///< venue time is not comparable with receive time: replayed, or a clock that disagrees; venue_delta_us is no latency
  VENUE_TIME_SATURATED = 16, ///< venue_delta_us is at its limit
  PUBLISH_DELTA_SATURATED = 32, ///< publish_delta_ns is at its limit
};

/// Where receive_ns was taken.
enum class TimeSource : std::uint8_t {
  NONE = 0, ///< no receive time
  USER = 1, ///< clock read after the receive call returned
  KERNEL = 2, ///< SO_TIMESTAMPING, software
  HARDWARE = 3, ///< SO_TIMESTAMPING, network card
  RECORDED = 4, ///< taken from a recording
};

/// Clock behind publish times and behind receive times whose source is USER.
enum class Clock : std::uint8_t {
  REALTIME = 1, ///< clock_gettime(CLOCK_REALTIME)
  TSC = 2, ///< invariant time-stamp counter, mapped to UTC
};

/// Lines 128 bytes apart, so that each writer has its own.
struct Header {
  std::uint64_t magic; ///< stored last, with release
  std::uint32_t version;
  std::uint32_t header_size;
  std::uint64_t schema_hash;
  std::uint64_t total_size; ///< bytes
  std::int64_t created_ns; ///< UTC
  std::uint8_t boot_id[16]; ///< /proc/sys/kernel/random/boot_id
  std::uint32_t clock; ///< Clock
  std::uint32_t slot_size; ///< bytes
  std::uint64_t tsc_hz; ///< 0 unless clock is TSC
  std::uint64_t capacity; ///< slots; a power of two, at least 1,024
  std::uint32_t symbol_count;
  std::uint32_t ladder_depth; ///< levels a side in the table and in LEVEL ticks
  std::uint64_t directory_offset;
  std::uint64_t statistics_offset;
  std::uint64_t table_offset;
  std::uint64_t table_stride; ///< bytes from one symbol's book to the next
  std::uint64_t slots_offset;
  char feed[32]; ///< NUL-padded
  char venue[32]; ///< NUL-padded
  std::uint8_t reserved_immutable[64];
  std::uint64_t epoch; ///< offset 256: producer line; raised by each producer, 1 for the first
  std::uint32_t pid; ///< producer
  std::uint32_t closed; ///< 1: no more ticks will come, attach anew
  std::uint64_t pid_start; ///< field 22 of /proc/PID/stat, against reuse of the pid
  std::uint64_t heartbeat_ns; ///< CLOCK_MONOTONIC, stored at least every 100 ms
  std::uint8_t reserved_producer[96];
  std::uint64_t published; ///< offset 384: ticks completed; stored at least every capacity/4 ticks and whenever the producer pauses
  std::uint8_t reserved_published[120];
};
static_assert(sizeof(Header) == 512);
static_assert(offsetof(Header, magic) == 0);
static_assert(offsetof(Header, version) == 8);
static_assert(offsetof(Header, header_size) == 12);
static_assert(offsetof(Header, schema_hash) == 16);
static_assert(offsetof(Header, total_size) == 24);
static_assert(offsetof(Header, created_ns) == 32);
static_assert(offsetof(Header, boot_id) == 40);
static_assert(offsetof(Header, clock) == 56);
static_assert(offsetof(Header, slot_size) == 60);
static_assert(offsetof(Header, tsc_hz) == 64);
static_assert(offsetof(Header, capacity) == 72);
static_assert(offsetof(Header, symbol_count) == 80);
static_assert(offsetof(Header, ladder_depth) == 84);
static_assert(offsetof(Header, directory_offset) == 88);
static_assert(offsetof(Header, statistics_offset) == 96);
static_assert(offsetof(Header, table_offset) == 104);
static_assert(offsetof(Header, table_stride) == 112);
static_assert(offsetof(Header, slots_offset) == 120);
static_assert(offsetof(Header, feed) == 128);
static_assert(offsetof(Header, venue) == 160);
static_assert(offsetof(Header, reserved_immutable) == 192);
static_assert(offsetof(Header, epoch) == 256);
static_assert(offsetof(Header, pid) == 264);
static_assert(offsetof(Header, closed) == 268);
static_assert(offsetof(Header, pid_start) == 272);
static_assert(offsetof(Header, heartbeat_ns) == 280);
static_assert(offsetof(Header, reserved_producer) == 288);
static_assert(offsetof(Header, published) == 384);
static_assert(offsetof(Header, reserved_published) == 392);

/// One symbol; its position in the directory is the symbol number in ticks. tick size = tick_mantissa / 10**tick_exponent, lot size alike.
struct SymbolEntry {
  char name[32]; ///< NUL-padded, as the venue spells it
  std::uint32_t tick_mantissa;
  std::uint32_t lot_mantissa;
  std::uint8_t tick_exponent;
  std::uint8_t lot_exponent;
  std::uint8_t reserved_a[6];
  std::uint64_t reserved_b[2];
};
static_assert(sizeof(SymbolEntry) == 64);
static_assert(offsetof(SymbolEntry, name) == 0);
static_assert(offsetof(SymbolEntry, tick_mantissa) == 32);
static_assert(offsetof(SymbolEntry, lot_mantissa) == 36);
static_assert(offsetof(SymbolEntry, tick_exponent) == 40);
static_assert(offsetof(SymbolEntry, lot_exponent) == 41);
static_assert(offsetof(SymbolEntry, reserved_a) == 42);
static_assert(offsetof(SymbolEntry, reserved_b) == 48);

/// Head of a symbol's book in the table, followed by ladder_depth bid Levels, then ladder_depth ask Levels. A sequence lock: odd while written; the producer is the only writer.
struct Book {
  std::uint64_t seq;
  std::uint32_t state; ///< State
  std::uint32_t reserved_a;
  std::uint64_t epoch; ///< producer epoch that wrote it
  std::uint64_t tick; ///< number of the BOOK tick that announced this content: a reader that lost ticks loads the ladder here and goes on with later ticks
  std::uint64_t update_id;
  std::uint64_t venue_sequence;
  std::int64_t receive_ns; ///< UTC
  std::int64_t venue_ns; ///< UTC, when the venue sent it
  std::int64_t engine_ns; ///< UTC, the matching engine's time (0: not given)
  std::uint32_t bid_levels; ///< of the whole book
  std::uint32_t ask_levels;
  std::uint32_t bid_count; ///< valid Levels here, best first
  std::uint32_t ask_count;
  std::uint64_t messages; ///< book messages applied in this epoch
  std::uint64_t reserved_b[4];
};
static_assert(sizeof(Book) == 128);
static_assert(offsetof(Book, seq) == 0);
static_assert(offsetof(Book, state) == 8);
static_assert(offsetof(Book, reserved_a) == 12);
static_assert(offsetof(Book, epoch) == 16);
static_assert(offsetof(Book, tick) == 24);
static_assert(offsetof(Book, update_id) == 32);
static_assert(offsetof(Book, venue_sequence) == 40);
static_assert(offsetof(Book, receive_ns) == 48);
static_assert(offsetof(Book, venue_ns) == 56);
static_assert(offsetof(Book, engine_ns) == 64);
static_assert(offsetof(Book, bid_levels) == 72);
static_assert(offsetof(Book, ask_levels) == 76);
static_assert(offsetof(Book, bid_count) == 80);
static_assert(offsetof(Book, ask_count) == 84);
static_assert(offsetof(Book, messages) == 88);
static_assert(offsetof(Book, reserved_b) == 96);

/// Price in ticks, size in lots.
struct Level {
  std::int64_t price;
  std::int64_t size;
};
static_assert(sizeof(Level) == 16);
static_assert(offsetof(Level, price) == 0);
static_assert(offsetof(Level, size) == 8);

/// One tick. seq is 2n+1 while tick n is written and 2n+2 when it is complete. Each word is stored and loaded as one atomic u64.
struct Slot {
  std::uint64_t seq;
  std::uint16_t symbol; ///< position in the directory
  std::uint8_t kind; ///< Kind
  std::uint8_t time_source; ///< TimeSource
  std::uint16_t flags; ///< Flag bits
  std::uint16_t remaining; ///< ticks still to come from the same message (65535: that many or more)
  std::int64_t receive_ns; ///< UTC
  std::uint32_t publish_delta_ns; ///< publish - receive, saturating
  std::int32_t venue_delta_us; ///< receive - venue, saturating
  std::int64_t a; ///< payload, by Kind
  std::int64_t b;
  std::int64_t c;
  std::int64_t d;
};
static_assert(sizeof(Slot) == 64);
static_assert(offsetof(Slot, seq) == 0);
static_assert(offsetof(Slot, symbol) == 8);
static_assert(offsetof(Slot, kind) == 10);
static_assert(offsetof(Slot, time_source) == 11);
static_assert(offsetof(Slot, flags) == 12);
static_assert(offsetof(Slot, remaining) == 14);
static_assert(offsetof(Slot, receive_ns) == 16);
static_assert(offsetof(Slot, publish_delta_ns) == 24);
static_assert(offsetof(Slot, venue_delta_us) == 28);
static_assert(offsetof(Slot, a) == 32);
static_assert(offsetof(Slot, b) == 40);
static_assert(offsetof(Slot, c) == 48);
static_assert(offsetof(Slot, d) == 56);

/// The feed handler's counters since the segment was made; relaxed stores by the producer, never reset.
struct Statistics {
  std::uint64_t messages; ///< complete messages received, of any kind
  std::uint64_t bytes; ///< their payload
  std::uint64_t ticks; ///< published
  std::uint64_t depth_applied; ///< book deltas applied
  std::uint64_t depth_dropped; ///< book deltas older than the snapshot, dropped by the venue's rule
  std::uint64_t snapshots;
  std::uint64_t gaps; ///< breaks in a book's update ids
  std::uint64_t crossed; ///< books found crossed after a message
  std::uint64_t resyncs;
  std::uint64_t trades;
  std::uint64_t tickers;
  std::uint64_t malformed; ///< messages refused by the parser
  std::uint64_t unknown_symbol;
  std::uint64_t out_of_range; ///< prices or sizes that do not fit or are no multiple of the step
  std::uint64_t reconnects;
  std::uint64_t page_faults_minor; ///< of the receiving thread since it became steady
  std::uint64_t page_faults_major;
  std::uint64_t cpu; ///< CPU the receiving thread is pinned to, plus one; 0: not pinned
  std::uint64_t locked_kib; ///< VmLck; 0: memory is not locked
  std::uint64_t duplicates; ///< book messages, trades and quotes that another connection had brought first
  std::uint64_t silences; ///< books doubted because nothing came for them while their connection lived
  std::uint64_t refused_topics; ///< subscriptions that the venue refused
  std::uint64_t switches; ///< endpoints changed while running
  std::uint64_t recorded; ///< messages handed to the recorder
  std::uint64_t record_dropped; ///< messages that found the recorder's buffer full
  std::uint64_t packets_lost; ///< multicast packets that never came
  std::uint64_t kernel_drops; ///< multicast packets that the kernel had no room for
  std::uint64_t reserved[5];
};
static_assert(sizeof(Statistics) == 256);
static_assert(offsetof(Statistics, messages) == 0);
static_assert(offsetof(Statistics, bytes) == 8);
static_assert(offsetof(Statistics, ticks) == 16);
static_assert(offsetof(Statistics, depth_applied) == 24);
static_assert(offsetof(Statistics, depth_dropped) == 32);
static_assert(offsetof(Statistics, snapshots) == 40);
static_assert(offsetof(Statistics, gaps) == 48);
static_assert(offsetof(Statistics, crossed) == 56);
static_assert(offsetof(Statistics, resyncs) == 64);
static_assert(offsetof(Statistics, trades) == 72);
static_assert(offsetof(Statistics, tickers) == 80);
static_assert(offsetof(Statistics, malformed) == 88);
static_assert(offsetof(Statistics, unknown_symbol) == 96);
static_assert(offsetof(Statistics, out_of_range) == 104);
static_assert(offsetof(Statistics, reconnects) == 112);
static_assert(offsetof(Statistics, page_faults_minor) == 120);
static_assert(offsetof(Statistics, page_faults_major) == 128);
static_assert(offsetof(Statistics, cpu) == 136);
static_assert(offsetof(Statistics, locked_kib) == 144);
static_assert(offsetof(Statistics, duplicates) == 152);
static_assert(offsetof(Statistics, silences) == 160);
static_assert(offsetof(Statistics, refused_topics) == 168);
static_assert(offsetof(Statistics, switches) == 176);
static_assert(offsetof(Statistics, recorded) == 184);
static_assert(offsetof(Statistics, record_dropped) == 192);
static_assert(offsetof(Statistics, packets_lost) == 200);
static_assert(offsetof(Statistics, kernel_drops) == 208);
static_assert(offsetof(Statistics, reserved) == 216);

} // namespace quietcore::shm
