"""GRUB's configuration language, executed without GRUB: which entry a menu boots, and what its kernel is given.

`lexer` and `parser` have the grammar, `interpreter` what the statements do, `conditions` the command `test`,
`environment_block` what lies in `grubenv`, `boot` which entry is the default, `kernel_line` how words become the
kernel's command line. What is outside that raises `CannotTellError` by name: nothing is guessed.

Written for GRUB 2.06 as Debian 12 has it, after its sources (the places are named in each module), and compared with it
by tests. Standard library only.
"""

from .boot import Boot, Chosen, Machinery, bytes_of, evaluate, every_entry, text_of
from .cannot_tell import CannotTellError
from .disk import HostDisk

__all__ = [
    "Boot",
    "CannotTellError",
    "Chosen",
    "HostDisk",
    "Machinery",
    "bytes_of",
    "evaluate",
    "every_entry",
    "text_of",
]
