"""What ``tools/benchmark.py`` is made of: cases, peers, the processes they run in, and the report."""
