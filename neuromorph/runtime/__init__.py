"""A model at work: its kernels and memory, the threads that run it, its state and its random numbers."""
