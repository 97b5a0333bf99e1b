"""Indicators, compiled: incremental over a state record, and over a whole series at once.

Each module has `STATE` or `state(window)`, the numpy dtype of its record; ``update(record, …)``, one step, for
strategies to call from their own ``on_tick`` with the record nested in theirs; and ``series(…, out)``, the same
figures for arrays of float64. Both forms agree to 1e-9, relative, and neither allocates in steady state but where
it says so. Values must be finite; whole ticks, lots and their halves are summed without any rounding.
"""
