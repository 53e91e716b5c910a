"""What compiled code and its callers agree on. A change here changes the key of every cached kernel."""
