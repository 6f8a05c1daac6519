"""flopline measures matrix products and minibatch SGD, and refuses changes that slow them down."""

__version__ = "0.1.0"


class FloplineError(Exception):
    """The base of every error that flopline raises on purpose.

    A concrete error stands directly above the function that raises it, also subclasses the
    built-in exception it resembles, and has a message that says what was asked, what was found
    and what to do.
    """
