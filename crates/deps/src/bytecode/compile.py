"""Compiles chunks of sources, and makes an archive of the .pyc files of each.

    compile.py all DIRECTORY THREADS CHUNKS
    compile.py one DIRECTORY NUMBER

Chunk 0 is the file 0.sources in the directory, which has the path, the size and the content of one
source after the other, and becomes 0.tar. Runs in a sandbox, by the interpreter that is packed.

What marshal writes depends on which strings the process shares, and with that on whatever else it has
done. So each chunk is compiled by a process of its own, which has imported nothing but this, and the
bytes depend on the chunk alone.
"""

import io
import marshal
import os
import sys
import tarfile
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash

# Of this interpreter, and of those that it starts.
OPTIONS = ["-s", "-P", "-S", "-B", "-W", "ignore"]

# To be checked against the source by its content (PEP 552).
CHECKED = (0b11).to_bytes(4, "little")


def compiled(source, path):
    """The content of a .pyc file."""
    code = compile(source, path, "exec", dont_inherit=True)
    return MAGIC_NUMBER + CHECKED + source_hash(source) + marshal.dumps(code)


def one(directory, number):
    """Compiles a chunk."""
    sources = os.path.join(directory, f"{number}.sources")
    archive = os.path.join(directory, f"{number}.tar")
    with (
        open(sources, "rb") as file,
        tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as out,
    ):
        while path := file.readline():
            path = path.decode().removesuffix("\n")
            content = compiled(file.read(int(file.readline())), path)
            info = tarfile.TarInfo(cache_from_source(path).lstrip("/"))
            info.mode = 0o644
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))


def all_of(directory, threads, chunks):
    """Compiles all chunks, this many at a time."""
    import subprocess
    from concurrent.futures import ThreadPoolExecutor

    def run(number):
        command = [sys.executable, *OPTIONS, __file__, "one", directory, str(number)]
        return subprocess.run(command).returncode

    with ThreadPoolExecutor(int(threads)) as pool:
        for code in pool.map(run, range(int(chunks))):
            # Whoever failed has said why, and nothing more is to be said here.
            if code:
                os._exit(code if code > 0 else 128 - code)


if __name__ == "__main__":
    mode, *arguments = sys.argv[1:]
    {"all": all_of, "one": one}[mode](*arguments)
