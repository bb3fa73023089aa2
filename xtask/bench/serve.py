"""The conversation of a benchmark server with `cargo xtask bench`; see serve.rs beside op_server."""

import json
import sys
import time


def timed(call, repeats=1):
    """Wall and CPU milliseconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        call()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return wall * 1e3 / repeats, cpu * 1e3 / repeats


def peak_memory():
    """The most memory that this process has held so far, in bytes; None where the system does not say."""
    try:
        with open("/proc/self/status") as lines:
            peak = next(line for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None
    return int(peak.split()[1]) * 1024


def serve(facts, answer):
    """Says that it is ready, then answers every line with the milliseconds that `answer` gives."""
    print("ready", json.dumps(facts), flush=True)
    for line in sys.stdin:
        wall, cpu = answer(line.strip())
        print(f"{wall:.4f} {cpu:.4f}", flush=True)


def main(run):
    """Runs; Ctrl-C is for the program that started this one to speak about."""
    try:
        run()
    except KeyboardInterrupt:
        sys.exit(130)
