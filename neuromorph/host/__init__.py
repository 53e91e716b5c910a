"""What the operating system and the Python process ask of a library: forks, signals."""
