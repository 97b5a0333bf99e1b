"""cryptofeed's own Bybit message handler, without its network."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from cryptofeed.defines import L2_BOOK
from cryptofeed.exchanges import Bybit
from cryptofeed.symbols import Symbols

from serve import serve


class CryptofeedBook:
    """A Bybit feed whose one callback looks at the best prices."""

    def __init__(self, symbol: str) -> None:
        base, quote = symbol.removesuffix("USDT"), "USDT"
        standard = f"{base}-{quote}-PERP"
        Symbols.set("BYBIT", {standard: symbol}, {"instrument_type": {standard: "perpetual"}})
        self._feed = Bybit(symbols=[standard], channels=[L2_BOOK], callbacks={L2_BOOK: self._on_book})
        self._connection = SimpleNamespace(address="wss://stream.bybit.com/v5/public/linear", uuid="bench")
        self.quote: tuple[Any, Any] = (0, 0)

    async def _on_book(self, book: Any, _receipt: float) -> None:
        self.quote = (book.book.bids.index(0)[0], book.book.asks.index(0)[0])

    def take(self, message: bytes) -> None:
        """Run the handler's coroutine to its end; nothing in it waits."""
        try:
            self._feed.message_handler(message.decode(), self._connection, 0.0).send(None)
        except StopIteration:
            return
        raise RuntimeError("the handler waited for something")

    def best(self) -> tuple[str, str]:
        """Return the quote after the last message."""
        return str(self.quote[0]), str(self.quote[1])


if __name__ == "__main__":
    serve("cryptofeed", CryptofeedBook)
