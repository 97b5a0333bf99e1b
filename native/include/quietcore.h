/* libquietcore: publish a feed of your own to /dev/shm/quietcore.NAME, from C or anything that calls C.
 *
 * One process publishes a feed, from one thread at a time; any number of readers follow it, and none can slow it
 * down. What is refused publishes nothing. Link with -lquietcore; native/examples/publish_feed.c is a whole program. */
#ifndef QUIETCORE_H
#define QUIETCORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define QUIETCORE_API __attribute__((visibility("default")))
#else
#define QUIETCORE_API
#endif

typedef struct quietcore_feed quietcore_feed;

/* What a call came to; 0 is good. */
typedef enum quietcore_status {
  QUIETCORE_OK = 0,
  QUIETCORE_NO_FEED = 1,    /* the feed is NULL */
  QUIETCORE_NO_SYMBOL = 2,  /* not one of the feed's symbols */
  QUIETCORE_NOT_FINITE = 3, /* NaN or infinity */
  QUIETCORE_RANGE = 4,      /* negative, or too large for 64 bits in these units */
  QUIETCORE_CROSSED = 5     /* a bid at or above an ask, or a book that is not sorted best first */
} quietcore_status;

/* A symbol, at most 31 characters; one tick is tick_mantissa / 10^tick_exponent, one lot alike.
 * "0.05" is 5 and 2; exponents go up to 18. */
typedef struct quietcore_instrument {
  const char *name;
  uint32_t tick_mantissa;
  uint8_t tick_exponent;
  uint32_t lot_mantissa;
  uint8_t lot_exponent;
} quietcore_instrument;

typedef struct quietcore_config {
  const char *feed; /* a file name: readers find /dev/shm/quietcore.<feed> */
  const quietcore_instrument *instruments;
  size_t instrument_count;
  uint64_t capacity;     /* ticks the ring holds, a power of two from 1,024; 0: 65,536 */
  uint32_t ladder_depth; /* levels a side that readers see; 0: 20 */
} quietcore_config;

typedef struct quietcore_level {
  int64_t price; /* ticks */
  int64_t size;  /* lots, above 0 */
} quietcore_level;

/* Makes or takes over the feed's ring. NULL where that cannot be; feed_handler_error() says why. */
QUIETCORE_API quietcore_feed *feed_handler_init(const quietcore_config *config);

/* The words for the last failed feed_handler_init of this thread; never NULL. */
QUIETCORE_API const char *feed_handler_error(void);

/* Number of a symbol, or -1. The integer forms take it. */
QUIETCORE_API int32_t feed_handler_symbol(const quietcore_feed *feed, const char *symbol);

/* Publishes a trade at `price` and a quote of `bid` and `ask`, each rounded to the nearest tick, halves away from
 * zero. This form knows no sizes: each stands as one lot. A price of 0 is no trade; bid and ask of 0 are no quote.
 * `timestamp_ns`: UTC, when the venue sent it, 0 where it is not known. */
QUIETCORE_API quietcore_status feed_handler_push_tick(quietcore_feed *feed, const char *symbol, double price,
                                                      double bid, double ask, int64_t timestamp_ns);

/* The integer forms: prices in ticks, sizes in lots. A side of size 0 is empty. */
QUIETCORE_API quietcore_status feed_handler_push_quote(quietcore_feed *feed, int32_t symbol, quietcore_level bid,
                                                       quietcore_level ask, int64_t timestamp_ns);
QUIETCORE_API quietcore_status feed_handler_push_trade(quietcore_feed *feed, int32_t symbol, quietcore_level trade,
                                                       int taker_sold, uint64_t trade_id, int64_t timestamp_ns);

/* Publishes a whole book, best first: its changes against the one before become ticks, and it is LIVE. */
QUIETCORE_API quietcore_status feed_handler_push_book(quietcore_feed *feed, int32_t symbol,
                                                      const quietcore_level *bids, size_t bid_count,
                                                      const quietcore_level *asks, size_t ask_count,
                                                      uint64_t update_id, int64_t timestamp_ns);

/* Tells readers that the feed is alive; call it at least every 100 ms while nothing is pushed. */
QUIETCORE_API quietcore_status feed_handler_heartbeat(quietcore_feed *feed);

/* Marks every book STALE and lets go of the ring, which stays for readers and for the next producer. */
QUIETCORE_API void feed_handler_close(quietcore_feed *feed);

#ifdef __cplusplus
}
#endif
#endif
