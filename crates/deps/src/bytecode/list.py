"""Writes down the sources of what is loaded once the named modules are imported.

    list.py PREFIX LIST MODULE...

Runs in a sandbox, by the interpreter that is packed.
"""

import gc
import importlib
import os
import sys


def sources(prefix):
    """The sources below the prefix of all modules that are loaded."""
    found = set()
    for module in list(sys.modules.values()):
        # Some packages put things there that are no modules, and make up attributes.
        try:
            spec = module.__spec__
            origin, cached = spec.origin, spec.cached
        except Exception:
            continue
        if isinstance(origin, str) and isinstance(cached, str):
            if origin.startswith(prefix + "/") and origin.endswith(".py"):
                found.add(origin)
    return sorted(found)


if __name__ == "__main__":
    prefix, target, *names = sys.argv[1:]
    # This process ends before it has made much garbage.
    gc.disable()
    for name in names:
        importlib.import_module(name)
    with open(target, "w", encoding="utf-8") as file:
        file.write("".join(f"{path}\n" for path in sources(prefix)))
    # Modules start threads when they are imported, which would be waited for.
    os._exit(0)
