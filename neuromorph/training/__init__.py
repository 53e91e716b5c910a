"""Trains models: windows, epochs, callbacks and accuracy; checks gradients; sets means and scales from data."""
