/* Publishes a feed of its own for some seconds: a random walk with a trade, a quote and a book every millisecond.
 *
 *   cc -Inative/include native/examples/publish_feed.c -Lbuild/lib -lquietcore -o publish_feed
 *   ./publish_feed example 5 &
 *   quietcore tally --feed example
 */
#include <quietcore.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int main(int argc, char **argv) {
  /* Prices in steps of 0.01, sizes in steps of 0.001. */
  const quietcore_instrument instrument = {"EXAMPLE", 1, 2, 1, 3};
  quietcore_config config = {0};
  config.feed = argc > 1 ? argv[1] : "example";
  config.instruments = &instrument;
  config.instrument_count = 1;
  const double seconds = argc > 2 ? atof(argv[2]) : 5;

  quietcore_feed *feed = feed_handler_init(&config);
  if (feed == NULL) {
    fprintf(stderr, "publish_feed: %s\n", feed_handler_error());
    return 2;
  }
  const int32_t symbol = feed_handler_symbol(feed, "EXAMPLE");
  int64_t mid = 10000; /* ticks: 100.00 */
  quietcore_status status = QUIETCORE_OK;
  const int64_t end = now_ns() + (int64_t)(seconds * 1e9);
  for (uint64_t update = 1; status == QUIETCORE_OK && now_ns() < end; ++update) {
    mid += rand() % 3 - 1;
    status = feed_handler_push_tick(feed, "EXAMPLE", (double)mid / 100, (double)(mid - 1) / 100,
                                    (double)(mid + 1) / 100, now_ns());
    quietcore_level bids[5];
    quietcore_level asks[5];
    for (int i = 0; i < 5; ++i) {
      bids[i] = (quietcore_level){mid - 1 - i, 1000 + rand() % 9000};
      asks[i] = (quietcore_level){mid + 1 + i, 1000 + rand() % 9000};
    }
    if (status == QUIETCORE_OK)
      status = feed_handler_push_book(feed, symbol, bids, 5, asks, 5, update, now_ns());
    const struct timespec pause = {0, 1000000};
    nanosleep(&pause, NULL);
  }
  if (feed_handler_push_tick(feed, "EXAMPLE", NAN, 1, 2, 0) != QUIETCORE_NOT_FINITE)
    status = QUIETCORE_RANGE; /* what is no number must not get through */
  feed_handler_close(feed);
  if (status != QUIETCORE_OK)
    fprintf(stderr, "publish_feed: a push was refused with status %d\n", (int)status);
  return status == QUIETCORE_OK ? 0 : 1;
}
