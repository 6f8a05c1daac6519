"""Stands in for pytest: prints what a session sees where the real one would run tests."""

import json
import os
import sys


def fixture(function):
    return function


def hookimpl(**_):
    return lambda function: function


def main(arguments, plugins):
    assert [plugin.__name__ for plugin in plugins] == ["flopline-lockstep", "flopline-neutral"]
    with open("/proc/self/personality") as file:
        personality = int(file.read(), 16)
    facts = {
        "arguments": arguments,
        "argv": sys.argv,
        "environment": dict(os.environ),
        "modules": sorted(sys.modules),
        "path": sys.path,
        "personality": personality,
    }
    print(json.dumps(facts))
    return 0
