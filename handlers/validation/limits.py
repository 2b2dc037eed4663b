"""The limits of Spectrum's phase record and of its keys.

Spectrum cuts what is too long without an error, so nothing that is too long is ever sent.
"""

import re
from typing import Final

MAX_COMPANY: Final = 3
"""Characters of a company code."""

MAX_JOB: Final = 10
"""Characters of a job number."""

MAX_PHASE: Final = 20
"""Characters of a phase code, which has no dashes: Spectrum shows them, and does not take them."""

MAX_COST_TYPE: Final = 3
"""Characters of a cost type."""

FORBIDDEN_IN_KEYS: Final = re.compile(r"""[/*?"'><#,&~\x00-\x1f\x7f-\x9f]""")
"""The characters that Spectrum takes in no key."""

MAX_LINES: Final = 2000
"""Lines of one budget; ours, not Spectrum's. An export of so many lines, all of them new or changed, is 1.2 MB."""

MAX_DESCRIPTION: Final = 25
"""Characters of a phase's description."""

MAX_UNIT: Final = 3
"""Characters of a unit of measure."""

MAX_ORIGINAL: Final = 99_999_999_99
"""In hundredths; the field has 12 characters, with sign and point."""

MAX_REVISION: Final = 9_999_999_999_99
"""In hundredths; of a change request."""

MAX_QUANTITY: Final = 9_999_999_99
"""In hundredths; the field has 11 characters, with sign and point."""
