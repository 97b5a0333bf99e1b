"""Where a process spends its time and its memory: samples as folded stacks, summed up, drawn as a flame graph."""
