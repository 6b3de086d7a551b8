"""Compiles the modules that others import, and makes an archive of the .pyc files.

    compile.py all PREFIX THREADS ARCHIVE MODULE...

Runs in a sandbox, by the interpreter that is packed. One process imports, to find out which modules
there are; others compile, which have imported nothing but this. So the bytes depend on the sources
alone: what marshal writes depends on which strings the process shares, and with that on whatever else
it has done.
"""

import os
import sys

# So many sources are compiled by one process, whatever the number of threads.
CHUNK = 256


def python(mode, *arguments):
    """The command line of this script in a process of its own."""
    return [sys.executable, "-s", "-P", "-B", "-W", "ignore", __file__, mode, *arguments]


def run(command, **options):
    """Runs one; when it fails it has said why, and nothing more is to be said here."""
    import subprocess

    code = subprocess.run(command, **options).returncode
    if code:
        os._exit(code if code > 0 else 128 - code)


def imported(prefix, names):
    """The sources below the prefix of what is loaded once the named modules are."""
    import importlib

    for name in names:
        importlib.import_module(name)
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


def compile_sources(sources, directory):
    """Writes 0.pyc, 1.pyc and so on, which are checked against their source by its content."""
    import py_compile

    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    for number, source in enumerate(sources):
        target = os.path.join(directory, f"{number}.pyc")
        py_compile.compile(source, cfile=target, dfile=source, doraise=True, invalidation_mode=mode)


def main(prefix, threads, archive, *names):
    import tarfile
    import tempfile
    from concurrent.futures import ThreadPoolExecutor
    from importlib.util import cache_from_source

    with tempfile.TemporaryDirectory() as scratch:
        listing = os.path.join(scratch, "sources")
        run(python("list", listing, prefix, *names))
        with open(listing, encoding="utf-8") as file:
            sources = file.read().splitlines()
        chunks = [sources[at : at + CHUNK] for at in range(0, len(sources), CHUNK)]

        def compiled(number):
            directory = os.path.join(scratch, str(number))
            os.mkdir(directory)
            text = "\n".join(chunks[number]).encode()
            run(python("compile", directory), input=text)
            return directory

        with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as out:
            with ThreadPoolExecutor(int(threads)) as pool:
                for number, directory in enumerate(pool.map(compiled, range(len(chunks)))):
                    for at, source in enumerate(chunks[number]):
                        path = os.path.join(directory, f"{at}.pyc")
                        info = tarfile.TarInfo(cache_from_source(source).lstrip("/"))
                        info.mode = 0o644
                        info.size = os.path.getsize(path)
                        with open(path, "rb") as content:
                            out.addfile(info, content)
                        os.unlink(path)


if __name__ == "__main__":
    mode, *arguments = sys.argv[1:]
    if mode == "list":
        listing, prefix, *names = arguments
        paths = imported(prefix, names)
        with open(listing, "w", encoding="utf-8") as file:
            file.write("\n".join(paths))
        # Modules start threads when they are imported, which would be waited for.
        os._exit(0)
    elif mode == "compile":
        compile_sources(sys.stdin.read().splitlines(), arguments[0])
    else:
        main(*arguments)
