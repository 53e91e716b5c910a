"""Networks of other libraries as texts with parameters, and texts as networks of other libraries."""
