"""Print the CPU time of loading an image in microseconds, of the package that PYTHONPATH names.

python benchmarks/loader/cpu_time.py clip FOLDER_OF_SHARDS 224 64 100     # size, batch, batches

It is started by its path, so that an older commit without this file can be measured. The time is
of this process and its worker, without what comes before the first batch.
"""

import contextlib
import resource
import sys
import time

from benchmarks.loader import ours


def cpu_time(method: str, folder: str, size: int, batch: int, batches: int) -> float:
    with contextlib.closing(ours.load(method, folder, size, batch)) as loaded:
        next(loaded)
        begun = time.process_time()
        for _ in range(batches):
            next(loaded)
        here = time.process_time() - begun
    worker = resource.getrusage(resource.RUSAGE_CHILDREN)  # it has ended
    return 1e6 * (here + worker.ru_utime + worker.ru_stime) / (batches * batch)


if __name__ == "__main__":
    print(cpu_time(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
