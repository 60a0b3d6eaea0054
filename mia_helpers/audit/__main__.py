"""`python -m mia_helpers.audit`."""

import sys

from mia_helpers.audit.command import main

sys.exit(main())
