"""Which of a venue's endpoints answers fastest, measured from this host, again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quietcore.scout.scouter import DynamicAPIScouter

__all__ = ["DynamicAPIScouter"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from quietcore.scout import scouter

        return getattr(scouter, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
