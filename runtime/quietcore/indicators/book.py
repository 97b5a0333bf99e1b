"""What the sizes of a book tell: imbalance and microprice. They need no state of their own."""

from __future__ import annotations

from typing import Any

from quietcore.bridge.compiled import fused
from quietcore.bridge.follow import Books


@fused
def imbalance(bid_size: float, ask_size: float) -> float:
    """Return (bid - ask) / (bid + ask), from -1 (all offered) to 1 (all bid); 0 where there is nothing."""
    total = bid_size + ask_size
    return (bid_size - ask_size) / total if total > 0.0 else 0.0


@fused
def ladder_imbalance(books: Books, symbol: int, levels: int) -> float:
    """Return the imbalance of the first ``levels`` levels a side of a ladder."""
    bids = asks = 0
    for i in range(min(levels, books.sizes.shape[1])):
        bids += books.sizes[2 * symbol, i]
        asks += books.sizes[2 * symbol + 1, i]
    return imbalance(float(bids), float(asks))


@fused
def microprice(bid: float, bid_size: float, ask: float, ask_size: float) -> float:
    """Return the mid weighted by the other side's size; the plain mid where there is no size."""
    total = bid_size + ask_size
    return (bid * ask_size + ask * bid_size) / total if total > 0.0 else 0.5 * (bid + ask)


@fused
def imbalance_series(bid_sizes: Any, ask_sizes: Any, out: Any) -> None:
    """Fill ``out`` with the imbalance of each pair of sizes."""
    for i in range(bid_sizes.shape[0]):
        out[i] = imbalance(bid_sizes[i], ask_sizes[i])


@fused
def microprice_series(bids: Any, bid_sizes: Any, asks: Any, ask_sizes: Any, out: Any) -> None:
    """Fill ``out`` with the microprice of each quote."""
    for i in range(bids.shape[0]):
        out[i] = microprice(bids[i], bid_sizes[i], asks[i], ask_sizes[i])
