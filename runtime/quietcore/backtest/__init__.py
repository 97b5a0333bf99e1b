"""A strategy over a recording: the same object, parsers, ladders, risk and matching as live, in recorded order."""
