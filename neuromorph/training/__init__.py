"""Training: windows through the kernel, epochs, callbacks, metrics and gradients."""
