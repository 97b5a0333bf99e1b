"""`python -m quietcore`."""

import sys

from quietcore.cli.main import main

sys.exit(main())
