"""A registry of ohoci's own, for the time of a test case."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from typing import ClassVar

import ohoci


class WithRegistry(unittest.TestCase):
    """Has a registry, a directory of its own to work in, and a small base image."""

    host: ClassVar[str]

    @classmethod
    def setUpClass(cls) -> None:
        cls._directory = tempfile.mkdtemp()
        cls._server = subprocess.Popen(
            [ohoci.find_ohoci(), "registry", "serve", "--listen=127.0.0.1:0", "--dir=registry"],
            cwd=cls._directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        line = ""
        while "127.0.0.1:" not in line:
            line = cls._server.stdout.readline()
            if not line:
                raise AssertionError(f"no registry: {cls._server.stderr.read()}")
        found = re.search(r"127\.0\.0\.1:\d+", line)
        cls.host = found.group(0)
        cls._before = os.getcwd()
        os.chdir(cls._directory)
        os.makedirs("root/bin")
        with open("root/bin/sh", "w") as file:
            file.write("#!/bin/sh\n")
        os.makedirs("tools/bin")
        with open("tools/bin/hello", "w") as file:
            file.write("#!/bin/sh\necho hello\n")
        cls.base = f"{cls.host}/base:1"
        ohoci.compose("scratch", layers=["root"], env={"PATH": "/bin"}, push=cls.base)

    @classmethod
    def tearDownClass(cls) -> None:
        os.chdir(cls._before)
        cls._server.terminate()
        cls._server.wait()
        cls._server.stdout.close()
        cls._server.stderr.close()
        shutil.rmtree(cls._directory)
