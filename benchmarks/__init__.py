"""Speed and memory of this project next to its peers: ``python -m benchmarks --help``.

`cases` says what is measured and `peers` with what; a candidate, in `candidates`, is one library's way
to do the work of a case. `worker` is the process that one candidate runs in, `runner` starts the workers
and lets them take turns, `report` writes the tables and the plot. Nothing here is part of the library.
"""
