"""Reads tables, learns what their columns hold, and makes arrays of them.

``files`` opens a table and hands it over in pieces, ``records`` cuts CSV into whole records, ``dialect`` finds out how
a CSV file is written, and ``headers`` whether it has names where the table that a model was trained on had none.
``learning`` finds the kind of each column, ``choosing`` which columns a model reads, ``encoding`` makes numbers of
cells, ``arrays`` does that for a whole table and ``lines`` for one line of a stream, and ``sequences`` sorts the rows
of long tables into sequences.

Tables with words, dates or gaps, and all files but CSV, are read by Polars, which is imported when it is needed. CSV
files of numbers alone are read by NumPy where Polars is missing.
"""
