"""A program that prints as JSON what the interpreter that runs it can do for a side.

It is started by its path, with the name of a distribution as its argument, and then those of the
modules that a side needs. It imports nothing of flopline and keeps to the syntax of early versions
of Python 3, because an older interpreter must be able to report that Python 3.11 or later is
needed.
"""

import json
import sys
from pathlib import Path

OLDEST = (3, 11)
FACTS = {
    "version": ".".join(str(number) for number in sys.version_info[:3]),
    "lacks": [],
    "site": "",
    "installed": "",
    "files": [],
    "editable": "",
    "prefix": sys.prefix,
    "binary": "",
    "path": [],
    "has_pip": False,
    "markers": {},
}
"""The facts that are printed.

`version` is that of the interpreter, such as `3.12.1`. `lacks` names what a side needs and the
interpreter does not have. `site` is the folder into which packages are installed. If the
distribution is installed, and not as editable, `installed` is its name and version, and `files`
are its files relative to `site`. If it is installed as editable, `editable` is the address of its
folder. `prefix` is the folder of the environment, and `binary` what compiled modules are built for.
`path` is the import path, without what PYTHONPATH adds. `has_pip` says whether there is a pip.
`markers` are the variables of requirements that depend on the interpreter.
"""

# Python puts the folder of a program on the import path. A side will not have this one there.
FOLDER = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != FOLDER]

if sys.version_info < OLDEST:
    FACTS["lacks"] = ["Python 3.11 or later"]
else:
    import platform
    import sysconfig
    from importlib import metadata, util

    FACTS["site"] = sysconfig.get_path("purelib")
    needed = sys.argv[2:]
    FACTS["lacks"] = [name for name in needed if util.find_spec(name) is None]
    FACTS["binary"] = "{} {}".format(
        sysconfig.get_config_var("SOABI") or sys.implementation.cache_tag, sysconfig.get_platform()
    )
    FACTS["path"] = list(sys.path)
    FACTS["has_pip"] = util.find_spec("pip") is not None
    FACTS["markers"] = {
        "implementation_name": sys.implementation.name,
        "platform_python_implementation": platform.python_implementation(),
        "python_full_version": platform.python_version(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
    }
    distribution = sys.argv[1]
    found = list(metadata.distributions(name=distribution)) if distribution else []
    for installation in found[:1]:  # the first hides all others
        origin = json.loads(installation.read_text("direct_url.json") or "{}")
        is_editable = origin.get("dir_info", {}).get("editable")
        # `setup.py develop` leaves no RECORD, and the files that it lists lie elsewhere.
        if installation.read_text("RECORD") and not is_editable:
            FACTS["installed"] = distribution + " " + installation.version
            FACTS["files"] = [str(file) for file in installation.files or ()]
        elif is_editable:
            FACTS["editable"] = origin.get("url", "")

sys.stdout.write(json.dumps(FACTS) + "\n")
