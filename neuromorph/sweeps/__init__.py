"""Many runs of many models, spread over processes or a Dask cluster, with their results in one file."""
