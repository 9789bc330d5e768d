"""What goes wrong by the user's hand: one sentence, no traceback."""


class BadInput(Exception):  # noqa: N818 - it names what is wrong, as the reader meets it
    """Something that the user gave cannot be used: a file, a cell, a key, a value.

    The message is one sentence that names it. The command line prints it and exits with 2.
    """
