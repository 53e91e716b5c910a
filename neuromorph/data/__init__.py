"""What users hand over, checked and converted to what kernels take."""
