"""Characters that a reader cannot see, and comparing texts without them."""

import re
import unicodedata
from typing import Final

# Unicode's Default_Ignorable_Code_Point: nothing is drawn for them. Python's unicodedata does not have the property.
_IGNORABLE: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Control characters (category Cc), the format characters (Cf) that are not ignorable, and halves of surrogate pairs.
_CONTROL: Final = "\x00-\x1f\x7f-\x9f"
_OTHER_FORMAT: Final = (
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
)
_SURROGATE: Final = "\ud800-\udfff"
_BLANK_LETTER: Final = "\u2800"
"""Braille without a dot: a symbol by category, a blank to the eye."""

_FORMAT: Final = re.compile(f"[{_IGNORABLE}{_OTHER_FORMAT}{_CONTROL}{_SURROGATE}]")
_VISIBLE: Final = re.compile(f"[^{_IGNORABLE}{_OTHER_FORMAT}{_CONTROL}{_SURROGATE}{_BLANK_LETTER}\\s]")
_CONTROL_CHARACTER: Final = re.compile(f"[{_CONTROL}]")


def is_blank(text: str) -> bool:
    """Check whether nothing of a text can be seen."""
    return _VISIBLE.search(text) is None


def has_control_character(text: str) -> bool:
    """Check for a control character, such as NUL, a line break or ESC."""
    return _CONTROL_CHARACTER.search(text) is not None


def has_format_character(text: str) -> bool:
    """Check for a character that controls or formats others, or that nothing is drawn for."""
    return _FORMAT.search(text) is not None


def fold_text(text: str) -> str:
    """Fold a text so that two that read the same to people compare equal.

    Compatibility forms (NFKC), case, characters that cannot be seen, and how much space there is do not count. Letters
    of different scripts that look alike remain different.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(_FORMAT.sub(lambda found: " " if found[0].isspace() else "", folded).split())
