"""The terminal screen: a look a second, drawn by Textual; at home in 80 columns and 24 lines, scrolls the longer."""

from __future__ import annotations

import asyncio
import signal
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Footer, Static

from quietcore.monitoring import lines
from quietcore.monitoring.rates import rates
from quietcore.monitoring.snapshot import Observer


class Screen(App[None]):
    """Shows an observer's looks until q or Ctrl-C."""

    TITLE = "quietcore top"
    ENABLE_COMMAND_PALETTE = False
    CSS = f"""
    Screen {{ layout: vertical; background: ansi_default; }}
    #state {{ height: 2; }}
    #middle {{ height: 10; min-height: 10; margin-top: 1; }}
    #cores-pane {{ width: {lines.CORES_WIDTH}; scrollbar-size-vertical: 1; }}
    #right {{ margin-left: 1; width: 1fr; }}
    #hops {{ height: 6; }}
    #orders {{ height: 4; margin-top: 1; }}
    #feeds {{ height: auto; max-height: 5; margin-top: 0; }}
    #books-pane {{ height: 1fr; min-height: 3; margin-top: 1; scrollbar-size-vertical: 1; }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("ctrl+c", "quit", "quit", show=False, priority=True),
        Binding("p,space", "pause", "pause"),
        Binding("tab", "focus_next", "scroll cores, books"),
    ]

    def __init__(self, observer: Observer, interval: float) -> None:
        super().__init__(ansi_color=True)
        self.paused = False
        self.looks = 0
        self._observer, self._interval = observer, interval
        self._before: dict[str, Any] | None = None
        self._busy = False

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Static(id="state")
        with Horizontal(id="middle"):
            with VerticalScroll(id="cores-pane"):
                yield Static(id="cores")
            with Vertical(id="right"):
                yield Static(id="hops")
                yield Static(id="orders")
        yield Static(id="feeds")
        with VerticalScroll(id="books-pane"):
            yield Static(id="books")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Look at once, and then again and again."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            # In order: the terminal is given back as it was.
            asyncio.get_running_loop().add_signal_handler(number, self.exit)
        self.set_interval(self._interval, self._look)
        self.call_later(self._look)

    def action_pause(self) -> None:
        """Keep what is shown, or go on."""
        self.paused = not self.paused
        self.sub_title = "paused" if self.paused else ""

    async def _look(self) -> None:
        if self.paused or self._busy:
            return
        self._busy = True
        try:
            look = await asyncio.to_thread(self._observer.look)
        finally:
            self._busy = False
        per_second = rates(self._before, look)
        self._before = look
        for name, text in (
            ("state", lines.state_lines(look)),
            ("cores", lines.core_lines(look["cores"])),
            ("hops", lines.hop_lines(look["runtime"])),
            ("orders", lines.order_lines(look["runtime"], per_second)),
            ("feeds", lines.feed_lines(look["feeds"], per_second)),
            ("books", lines.book_lines(look["feeds"])),
        ):
            self.query_one(f"#{name}", Static).update(text)
        self.looks += 1
