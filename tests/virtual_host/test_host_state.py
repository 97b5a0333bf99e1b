"""The tuned host as its kernel and systemd show it, read with nothing of the project's own."""

from typing import Any

import pytest
from quietcore import vhost

from .conftest import Sh
from .live_state import (
    INTERRUPTS_COMMAND,
    THREADS_COMMAND,
    boot_values,
    cpu_list,
    interrupts,
    threads,
)

pytestmark = pytest.mark.virtual_host
