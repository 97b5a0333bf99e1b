"""Layout of a feed's shared-memory segment.

Generated from native/schema/shared_memory.toml by native/schema/generate.py: do not edit.
"""

from typing import Final

import numpy as np

VERSION: Final = 2
MAGIC: Final = 0x31303045524f4351
SCHEMA_HASH: Final = 0xeb70da158e837445

# Kind: What a tick is; decides how payload words a to d are read.
KIND_BBO: Final = 1  # best bid and offer: a bid price, b bid size, c ask price, d ask size (0 size: that side is empty)
KIND_TRADE: Final = 2  # a price, b size, c venue trade id (0 where it is no number), flag SELL: the taker sold
KIND_LEVEL: Final = 3  # one change of the top-N ladder: a price, b new size (0: gone), c update id, flag SELL: ask side
KIND_BOOK: Final = 4  # ends each applied book message: a update id, b venue sequence, c levels (bids << 32 | asks) of the whole book, d state
KIND_RESTART: Final = 5  # a new producer took over: a new epoch, b previous producer's pid

# State: State of a book. Only LIVE with a fresh heartbeat and an unchanged epoch may be traded on.
STATE_EMPTY: Final = 0  # nothing received yet
STATE_RESYNC: Final = 1  # waiting for a snapshot, or for the first delta that fits it
STATE_STALE: Final = 2  # was live; connection or producer lost
STATE_LIVE: Final = 3  # every delta since the snapshot applied, not crossed

# Flag: Bits of a tick's flags.
FLAG_SELL: Final = 1  # trade: the taker sold; level: ask side
FLAG_FROM_TICKER: Final = 2  # BBO from the venue's own ticker stream; without it, from the book
FLAG_SNAPSHOT: Final = 4  # belongs to a snapshot
FLAG_VENUE_TIME_FOREIGN: Final = 8  # venue time is not comparable with receive time: replayed, or a clock that disagrees; venue_delta_us is no latency
FLAG_VENUE_TIME_SATURATED: Final = 16  # venue_delta_us is at its limit
FLAG_PUBLISH_DELTA_SATURATED: Final = 32  # publish_delta_ns is at its limit

# TimeSource: Where receive_ns was taken.
TIME_SOURCE_NONE: Final = 0  # no receive time
TIME_SOURCE_USER: Final = 1  # clock read after the receive call returned
TIME_SOURCE_KERNEL: Final = 2  # SO_TIMESTAMPING, software
TIME_SOURCE_HARDWARE: Final = 3  # SO_TIMESTAMPING, network card
TIME_SOURCE_RECORDED: Final = 4  # taken from a recording

# Clock: Clock behind publish times and behind receive times whose source is USER.
CLOCK_REALTIME: Final = 1  # clock_gettime(CLOCK_REALTIME)
CLOCK_TSC: Final = 2  # invariant time-stamp counter, mapped to UTC

# Lines 128 bytes apart, so that each writer has its own.
HEADER: Final = np.dtype(
    [
        ("magic", "<u8"),  # 0: stored last, with release
        ("version", "<u4"),  # 8
        ("header_size", "<u4"),  # 12
        ("schema_hash", "<u8"),  # 16
        ("total_size", "<u8"),  # 24: bytes
        ("created_ns", "<i8"),  # 32: UTC
        ("boot_id", "u1", (16,)),  # 40: /proc/sys/kernel/random/boot_id
        ("clock", "<u4"),  # 56: Clock
        ("slot_size", "<u4"),  # 60: bytes
        ("tsc_hz", "<u8"),  # 64: 0 unless clock is TSC
        ("capacity", "<u8"),  # 72: slots; a power of two, at least 1,024
        ("symbol_count", "<u4"),  # 80
        ("ladder_depth", "<u4"),  # 84: levels a side in the table and in LEVEL ticks
        ("directory_offset", "<u8"),  # 88
        ("statistics_offset", "<u8"),  # 96
        ("table_offset", "<u8"),  # 104
        ("table_stride", "<u8"),  # 112: bytes from one symbol's book to the next
        ("slots_offset", "<u8"),  # 120
        ("feed", "S32"),  # 128: NUL-padded
        ("venue", "S32"),  # 160: NUL-padded
        ("reserved_immutable", "u1", (64,)),  # 192
        ("epoch", "<u8"),  # 256: offset 256: producer line; raised by each producer, 1 for the first
        ("pid", "<u4"),  # 264: producer
        ("closed", "<u4"),  # 268: 1: no more ticks will come, attach anew
        ("pid_start", "<u8"),  # 272: field 22 of /proc/PID/stat, against reuse of the pid
        ("heartbeat_ns", "<u8"),  # 280: CLOCK_MONOTONIC, stored at least every 100 ms
        ("reserved_producer", "u1", (96,)),  # 288
        ("published", "<u8"),  # 384: offset 384: ticks completed; stored at least every capacity/4 ticks and whenever the producer pauses
        ("reserved_published", "u1", (120,)),  # 392
    ]
)
assert HEADER.itemsize == 512

# One symbol; its position in the directory is the symbol number in ticks. tick size = tick_mantissa / 10**tick_exponent, lot size alike.
SYMBOLENTRY: Final = np.dtype(
    [
        ("name", "S32"),  # 0: NUL-padded, as the venue spells it
        ("tick_mantissa", "<u4"),  # 32
        ("lot_mantissa", "<u4"),  # 36
        ("tick_exponent", "u1"),  # 40
        ("lot_exponent", "u1"),  # 41
        ("reserved_a", "u1", (6,)),  # 42
        ("reserved_b", "<u8", (2,)),  # 48
    ]
)
assert SYMBOLENTRY.itemsize == 64

# Head of a symbol's book in the table, followed by ladder_depth bid Levels, then ladder_depth ask Levels. A sequence lock: odd while written; the producer is the only writer.
BOOK: Final = np.dtype(
    [
        ("seq", "<u8"),  # 0
        ("state", "<u4"),  # 8: State
        ("reserved_a", "<u4"),  # 12
        ("epoch", "<u8"),  # 16: producer epoch that wrote it
        ("tick", "<u8"),  # 24: number of the BOOK tick that announced this content: a reader that lost ticks loads the ladder here and goes on with later ticks
        ("update_id", "<u8"),  # 32
        ("venue_sequence", "<u8"),  # 40
        ("receive_ns", "<i8"),  # 48: UTC
        ("venue_ns", "<i8"),  # 56: UTC, when the venue sent it
        ("engine_ns", "<i8"),  # 64: UTC, the matching engine's time (0: not given)
        ("bid_levels", "<u4"),  # 72: of the whole book
        ("ask_levels", "<u4"),  # 76
        ("bid_count", "<u4"),  # 80: valid Levels here, best first
        ("ask_count", "<u4"),  # 84
        ("messages", "<u8"),  # 88: book messages applied in this epoch
        ("reserved_b", "<u8", (4,)),  # 96
    ]
)
assert BOOK.itemsize == 128

# Price in ticks, size in lots.
LEVEL: Final = np.dtype(
    [
        ("price", "<i8"),  # 0
        ("size", "<i8"),  # 8
    ]
)
assert LEVEL.itemsize == 16

# One tick. seq is 2n+1 while tick n is written and 2n+2 when it is complete. Each word is stored and loaded as one atomic u64.
SLOT: Final = np.dtype(
    [
        ("seq", "<u8"),  # 0
        ("symbol", "<u2"),  # 8: position in the directory
        ("kind", "u1"),  # 10: Kind
        ("time_source", "u1"),  # 11: TimeSource
        ("flags", "<u2"),  # 12: Flag bits
        ("remaining", "<u2"),  # 14: ticks still to come from the same message (65535: that many or more)
        ("receive_ns", "<i8"),  # 16: UTC
        ("publish_delta_ns", "<u4"),  # 24: publish - receive, saturating
        ("venue_delta_us", "<i4"),  # 28: receive - venue, saturating
        ("a", "<i8"),  # 32: payload, by Kind
        ("b", "<i8"),  # 40
        ("c", "<i8"),  # 48
        ("d", "<i8"),  # 56
    ]
)
assert SLOT.itemsize == 64

# The feed handler's counters since the segment was made; relaxed stores by the producer, never reset.
STATISTICS: Final = np.dtype(
    [
        ("messages", "<u8"),  # 0: complete messages received, of any kind
        ("bytes", "<u8"),  # 8: their payload
        ("ticks", "<u8"),  # 16: published
        ("depth_applied", "<u8"),  # 24: book deltas applied
        ("depth_dropped", "<u8"),  # 32: book deltas older than the snapshot, dropped by the venue's rule
        ("snapshots", "<u8"),  # 40
        ("gaps", "<u8"),  # 48: breaks in a book's update ids
        ("crossed", "<u8"),  # 56: books found crossed after a message
        ("resyncs", "<u8"),  # 64
        ("trades", "<u8"),  # 72
        ("tickers", "<u8"),  # 80
        ("malformed", "<u8"),  # 88: messages refused by the parser
        ("unknown_symbol", "<u8"),  # 96
        ("out_of_range", "<u8"),  # 104: prices or sizes that do not fit or are no multiple of the step
        ("reconnects", "<u8"),  # 112
        ("page_faults_minor", "<u8"),  # 120: of the receiving thread since it became steady
        ("page_faults_major", "<u8"),  # 128
        ("cpu", "<u8"),  # 136: CPU the receiving thread is pinned to, plus one; 0: not pinned
        ("locked_kib", "<u8"),  # 144: VmLck; 0: memory is not locked
        ("duplicates", "<u8"),  # 152: book messages, trades and quotes that another connection had brought first
        ("silences", "<u8"),  # 160: books doubted because nothing came for them while their connection lived
        ("refused_topics", "<u8"),  # 168: subscriptions that the venue refused
        ("switches", "<u8"),  # 176: endpoints changed while running
        ("recorded", "<u8"),  # 184: messages handed to the recorder
        ("record_dropped", "<u8"),  # 192: messages that found the recorder's buffer full
        ("packets_lost", "<u8"),  # 200: multicast packets that never came
        ("kernel_drops", "<u8"),  # 208: multicast packets that the kernel had no room for
        ("reserved", "<u8", (5,)),  # 216
    ]
)
assert STATISTICS.itemsize == 256
