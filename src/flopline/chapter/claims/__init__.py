"""The claims of the "Minibatch Stochastic Gradient Descent" chapter of Dive into Deep Learning, each with a verdict."""
