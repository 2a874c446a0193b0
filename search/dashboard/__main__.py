"""`python -m search.dashboard`: look at all searches in a browser."""

import sys

from search.dashboard.serve import main

sys.exit(main())
