"""Puts a package before everything else, as editable installations of meson-python do."""

import importlib.machinery
import pathlib
import sys

ELSEWHERE = str(pathlib.Path(__file__).with_name("elsewhere"))


class First:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "subject":
            return importlib.machinery.PathFinder.find_spec(name, [ELSEWHERE])


sys.meta_path.insert(0, First)
