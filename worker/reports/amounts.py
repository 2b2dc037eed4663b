"""Formats amounts for people: with commas, and in columns as wide as their widest."""

from collections.abc import Collection, Sequence
from decimal import Decimal

Row = Sequence[str]


def format_amount(amount: str) -> str:
    """Format an amount of the contract, such as ``1250.00``, as ``1,250.00``."""
    return f"{Decimal(amount):,}"


def align_amounts(header: Row, rows: Sequence[Row], columns: Collection[int]) -> tuple[Row, list[Row]]:
    """Format the amounts in some columns of a table, and align them to the right.

    Args:
        header: the names of the columns.
        rows: the cells of each row, as many as the header has; a cell of these columns is an amount or empty.
        columns: the numbers of the columns that hold amounts.

    Returns:
        The header and the rows.
    """
    aligned = []
    for number, (name, *cells) in enumerate(zip(header, *rows, strict=True)):
        column = [name, *cells]
        if number in columns:
            shown = [name, *(format_amount(cell) if cell else "" for cell in cells)]
            column = [one.rjust(max(map(len, shown))) for one in shown]
        aligned.append(column)
    first, *others = zip(*aligned, strict=True)
    return first, list(others)
