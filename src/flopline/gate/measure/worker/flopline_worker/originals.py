"""Functions of the standard library as they were before any code of the suite ran.

A test may freeze the clock, put a made-up file system in the place of `os`, or replace a single
function, and a worker that looks a function up at that moment gets the replacement. Libraries that
do so also search all loaded modules for the functions and modules that they replace, so a name in
one of our modules does not help. They do not look into classes.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import threading
import time
from _lsprof import Profiler
from typing import Any


class Original:
    """The functions that a worker calls while code of the suite may have replaced them."""

    perf_counter = time.perf_counter
    perf_counter_ns = time.perf_counter_ns
    process_time_ns = time.process_time_ns
    thread_time_ns = time.thread_time_ns
    clock_gettime_ns = time.clock_gettime_ns
    getrusage = resource.getrusage

    read = os.read
    write = os.write
    exit = os._exit
    getpid = os.getpid
    get_ident = threading.get_ident
    waitid = os.waitid
    chdir = os.chdir
    listdir = os.listdir
    sched_setaffinity = os.sched_setaffinity

    encode = json.JSONEncoder().encode
    decode = json.JSONDecoder().decode

    collect_garbage = gc.collect
    freeze_garbage = gc.freeze
    is_collecting = gc.isenabled
    enable_collector = gc.enable
    disable_collector = gc.disable

    getprofile = sys.getprofile
    setprofile = sys.setprofile
    Profiler = Profiler
    monitoring: Any = getattr(sys, "monitoring", None)
    getswitchinterval = sys.getswitchinterval
    setswitchinterval = sys.setswitchinterval
