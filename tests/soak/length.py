"""How long the tests of this folder are: ``make soak`` sets a factor, ``make test`` runs their short form."""

from __future__ import annotations

import os

TIMES = int(os.environ.get("EVERWIRE_TESTS_SOAK_TIMES", "1"))
"""How many times their short form."""
PATIENCE = 45.0 + 15.0 * TIMES
"""Seconds for a test: several times what an idle machine needs."""
