"""Trains models: runs the training kernel over windows and epochs, with callbacks, metrics and gradient checks."""
