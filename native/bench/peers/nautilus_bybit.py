"""nautilus_trader's Python adapter for Bybit: its decoders, its parsing into deltas, its order book."""

from __future__ import annotations

import msgspec
from nautilus_trader.adapters.bybit.schemas.ws import BybitWsMessageGeneral, decoder_ws_orderbook
from nautilus_trader.core.datetime import millis_to_nanos
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.enums import BookType
from nautilus_trader.model.identifiers import InstrumentId

from serve import serve


class NautilusBook:
    """What BybitDataClient does with a book message, and the book that a strategy keeps."""

    def __init__(self, symbol: str) -> None:
        self._instrument = InstrumentId.from_str(f"{symbol}-LINEAR.BYBIT")
        self._general = msgspec.json.Decoder(BybitWsMessageGeneral)
        self._decoder = decoder_ws_orderbook()
        self._book = OrderBook(self._instrument, BookType.L2_MBP)
        self._precisions = (4, 0) if symbol == "XRPUSDT" else (1, 3)

    def take(self, message: bytes) -> None:
        """Decode, parse to deltas, apply, look at the best prices."""
        topic = self._general.decode(message).topic
        if "orderbook" not in topic:
            raise RuntimeError(f"unexpected topic {topic}")
        decoded = self._decoder.decode(message)
        deltas = decoded.data.parse_to_deltas(
            instrument_id=self._instrument,
            price_precision=self._precisions[0],
            size_precision=self._precisions[1],
            ts_event=millis_to_nanos(decoded.ts),
            ts_init=0,
            snapshot=decoded.type == "snapshot",
        )
        self._book.apply_deltas(deltas)
        self.quote = (self._book.best_bid_price(), self._book.best_ask_price())

    def best(self) -> tuple[str, str]:
        """Return the quote after the last message."""
        return str(self.quote[0]), str(self.quote[1])


if __name__ == "__main__":
    serve("nautilus_trader", NautilusBook)
