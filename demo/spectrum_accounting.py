"""What people do in Spectrum beside the bridge: the ordinary work that moves its figures without a message.

An original or a status that is typed over is set in the ``HeldLine`` itself.
"""

from collections.abc import Iterable, Mapping

from demo.spectrum import HeldLine, LineKey


def set_current_from_original(lines: Iterable[HeldLine]) -> None:
    """Run the utility of that name: the current estimate of each line becomes the original, without any revision."""
    for held in lines:
        held.type_over(held.original)


def run_project_setup(lines: dict[LineKey, HeldLine], estimate: Mapping[LineKey, int]) -> None:
    """Run Project Setup, perhaps again: original and current become those of the estimate, revisions stay booked.

    Args:
        lines: of the job; those that it lacks are created.
        estimate: the amount of each line, in hundredths.
    """
    for key, amount in estimate.items():
        held = lines.setdefault(key, HeldLine())
        held.original = amount
        held.type_over(amount)


def request_change(held: HeldLine, reference: str, amount: int, *, recognised: bool) -> None:
    """Enter a change request of others for a line.

    Args:
        held: the line.
        reference: the number of the change request.
        amount: in hundredths.
        recognised: whether its status counts in the current estimate, which is the site's own setting.
    """
    booked = held.revisions if recognised else held.proposed
    booked[reference] = booked.get(reference, 0) + amount
    if recognised and held.typed_over is not None:
        held.typed_over += amount
