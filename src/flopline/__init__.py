"""flopline measures matrix products and minibatch SGD, and refuses changes that slow them down."""

__version__ = "0.1.0"
