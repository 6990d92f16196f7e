"""Validation: what the simulator says, beside what is known from elsewhere.

A case is named by what is compared with what. Cases are not tests: a prediction that misses is
published, not made to fit. They lie in the package, not beside it, so that an installed bgsim can
run them too (``bgsim validate``).
"""

from __future__ import annotations

from bgsim.validation.case import Case, Result, Row, run
from bgsim.validation.catalogue import CASES, find

__all__ = ["CASES", "Case", "Result", "Row", "find", "run"]
