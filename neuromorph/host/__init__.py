"""What depends on the operating system and on the Python process: files, processors, memory, forks, signals."""
