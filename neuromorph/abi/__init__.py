"""The conventions between compiled code and its callers. A change here changes the key of every cached kernel."""
