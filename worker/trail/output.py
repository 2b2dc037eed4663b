"""Writes a trail, as lines and as a page, both from the same lines as they come."""

from collections.abc import AsyncIterator, Callable

from worker.trail.chain import ChainWriter
from worker.trail.lines import End, Head, Line
from worker.trail.page import begin_page, end_page, write_row

Write = Callable[[bytes], object]


async def write_trail(lines: AsyncIterator[Line], write_lines: Write, write_page: Write | None) -> ChainWriter:
    """Write a trail.

    Args:
        lines: all but the last.
        write_lines: takes each line of the file.
        write_page: takes each piece of the page, where there is to be one.

    Returns:
        What was written: the number of lines and the digest of the last one.
    """
    chain = ChainWriter()

    def write(line: Line) -> None:
        write_lines(chain.write(line))
        digest = chain.digest or ""
        if write_page:
            match line:
                case Head():
                    write_page(begin_page(line).encode())
                case End():
                    write_page(end_page(line, digest).encode())
                case _:
                    write_page(write_row(line, digest).encode())

    async for line in lines:
        write(line)
    write(End(lines=chain.count))
    return chain
