"""Programs to run and to read; ``python -m examples`` lists them."""

from autograd import keep_freed_memory

keep_freed_memory()  # these are programs, not a library: the process is theirs
