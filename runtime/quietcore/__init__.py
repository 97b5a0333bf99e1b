"""Quietcore: a quiet, low-latency trading host and the feed-to-order pipeline that runs on it.

Importing this package costs nothing and needs only the standard library: `quietcore.host` is also shipped to
hosts that have nothing else.
"""

__version__ = "0.1.0"
