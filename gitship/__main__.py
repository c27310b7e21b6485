"""`python -m gitship` is `gitship`."""

import sys

from gitship.cli import main

sys.exit(main())
