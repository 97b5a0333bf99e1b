"""The decorator for compiled functions, and where their machine code is kept between runs.

numba stores a function's code beside its source or where NUMBA_CACHE_DIR says, and looks only at the file
that defines the function when it decides whether that code is still good: a change in a function that was
inlined from another file would go unseen. Here the folder's name carries a digest of every compiled
module's source.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numba.core.config
import numpy as np
from numba.core.caching import UserProvidedCacheLocator

P = ParamSpec("P")
R = TypeVar("R")

PACKAGE = Path(__file__).resolve().parent.parent
_DISPATCHERS: list[Any] = []  # of every compiled function of this process
COMPILED_PARTS = (
    "bridge",
    "indicators",
    "strategy",
    "observe",
    "backtest",
    "jitter",
    "compare",
    "targets",
    "soak",
)


def constant(value: int) -> int:
    """Return ``value`` as an int64: numba would compile a function anew for each plain number it is called with."""
    return cast(int, np.int64(value))


class CompileCounter:
    """Counts what has become machine code, compiled or loaded from the cache, from its making until `stop`.

    Either takes milliseconds at least, and a load today is a compilation on the next machine.
    """

    def __init__(self) -> None:
        self._before = _machine_codes()
        self._stopped: int | None = None

    @property
    def count(self) -> int:
        """How many there were; a function counts once for each combination of argument types."""
        return (_machine_codes() if self._stopped is None else self._stopped) - self._before

    def stop(self) -> None:
        """Count no more."""
        self._stopped = _machine_codes()


def _machine_codes() -> int:
    return sum(len(dispatcher.overloads) for dispatcher in _DISPATCHERS)


@cache
def source_digest() -> str:
    """Return 16 hexadecimal digits that change with any source file that takes part in compiled code."""
    digest = hashlib.sha256()
    for part in COMPILED_PARTS:
        for path in sorted((PACKAGE / part).glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def cache_directory() -> Path | None:
    """Return a writable folder for machine code, or None: then everything is compiled anew at each start.

    First of $NUMBA_CACHE_DIR, $CACHE_DIRECTORY (systemd's ``CacheDirectory=``), $XDG_CACHE_HOME/quietcore and
    ~/.cache/quietcore that can be written.
    """
    wishes: list[Path] = []
    for variable, below in (
        ("NUMBA_CACHE_DIR", ""),
        ("CACHE_DIRECTORY", "numba"),
        ("XDG_CACHE_HOME", "quietcore"),
    ):
        value = os.environ.get(variable, "").split(":")[0]
        if value:
            wishes.append(Path(value) / below)
    home = os.environ.get("HOME", "")
    if home:
        wishes.append(Path(home) / ".cache" / "quietcore")
    for wish in wishes:
        folder = wish / f"quietcore-{source_digest()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    return None


class Shelf(UserProvidedCacheLocator):
    """Where a function's code lies: by package below CACHE_DIR, whose name already tells the sources apart.

    numba's own name for the place carries the path of the source, and its stamp the time of the file: code that
    was compiled on one machine would never be found on another, where the release lies elsewhere.
    """

    def __init__(self, function: Any, file: str) -> None:
        super().__init__(function, file)  # type: ignore[no-untyped-call]
        folder = Path(file).resolve().parent
        if folder.is_relative_to(PACKAGE):
            config: Any = numba.core.config  # its names are made at run time
            self._cache_path = str(Path(config.CACHE_DIR) / folder.relative_to(PACKAGE))
            self._within = True
        else:
            self._within = False

    def get_source_stamp(self) -> Any:
        """Return what must be equal for kept code to be good."""
        if self._within:
            return source_digest()
        return super().get_source_stamp()  # type: ignore[no-untyped-call]


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` at its first call, to code that runs without the GIL; keep it if there is a place.

    Integer arithmetic is 64-bit and wraps. The decorated object is numba's dispatcher.
    """
    return _made(function)


def lean(function: Callable[P, R]) -> Callable[P, R]:
    """Compile as `compiled` does, what is done for every tick or order: references to arrays are not counted.

    Counting is an atomic addition for each array at each call, also of those within a tuple: some 3 ns each, 100 ns in
    the check of an order. The caller holds the arrays, so ``function`` may use them, but neither make nor return any:
    the first is an error of compilation.
    """
    return _made(function, _nrt=False)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile as `lean` does, always within the code of who calls it.

    For what is small and done for each message: the compiler likes to share it as a function, and an array is then
    passed as seven words or more, most of them over the stack.
    """
    return _made(function, _nrt=False, forceinline=True)


def fused(function: Callable[P, R]) -> Callable[P, R]:
    """Compile for floating point: a product and its sum may be one operation, a division by 0 is not an error.

    Results may differ in the last bit from one CPU level to another, never from one call to the next.
    """
    return _made(function, fastmath={"contract"}, error_model="numpy")


def _made(function: Callable[P, R], *, _nrt: bool = True, **options: Any) -> Callable[P, R]:
    # Said also where it is the default: what is called would else take it over from who calls first.
    options["_nrt"] = _nrt
    folder = cache_directory()
    if folder is None:
        plain: Callable[P, R] = numba.njit(nogil=True, **options)(function)
        _DISPATCHERS.append(plain)
        return plain
    config: Any = numba.core.config  # its names are made at run time
    before = config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES
    # Set for the decoration alone: code of others in this process keeps its own place.
    config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES = str(folder), f"{__name__}.{Shelf.__name__}"
    try:
        kept: Callable[P, R] = numba.njit(nogil=True, cache=True, **options)(function)
        _DISPATCHERS.append(kept)
        return kept
    finally:
        config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES = before
