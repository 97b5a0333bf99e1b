"""The texts that a kernel or a tool prints: one reader each, with the form that it accepts in its docstring.

A reader is a pure function of the text. It returns all that the text says, or raises NotUnderstoodError with what,
where and what was found instead: never a part, and never a default for what was not there. Standard library only.
"""
