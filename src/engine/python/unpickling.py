"""
Reads a model of scikit-learn out of a pickle or a skops archive, and nothing else: whatever the file names that such models are not
made of ends the reading before it is imported. The confinement is there for what this list lets through.
"""

import importlib
import pickle

# Functions and classes by which pickles put objects together.
BUILDERS = {
    "_codecs": {"encode"},
    "builtins": {"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "range", "set", "slice", "str", "tuple"},
    "collections": {"OrderedDict", "defaultdict", "deque"},
    "copyreg": {"_reconstructor"},
    "datetime": {"date", "datetime", "timedelta"},
    "numpy": {"dtype", "ndarray", "matrix"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy.core.numeric": {"_frombuffer"},
    "numpy.ma.core": {"_mareconstruct", "MaskedArray"},
    "numpy.random._pickle": {"__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor"},
    "pandas.core.indexes.base": {"Index", "_new_Index"},
    "pandas.core.indexes.range": {"RangeIndex"},
    "pandas.core.dtypes.dtypes": {"CategoricalDtype"},
    "scipy.interpolate": {"interp1d"},
    "scipy.interpolate._interpolate": {"interp1d"},
    "scipy.interpolate._bsplines": {"BSpline"},
}
# Packages all of whose classes are data, beside the estimators of scikit-learn.
CLASSES_OF = ("scipy.sparse.", "numpy.random.", "numpy.dtypes")
# Of scikit-learn, what no model is made of.
NOT_OF_MODELS = ("sklearn.datasets", "sklearn.externals", "sklearn.utils._testing", "sklearn.tests", "sklearn.conftest")
PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class NotAllowed(Exception):
    """The file names what no model of scikit-learn is made of."""

    def __init__(self, names):
        super().__init__(f"it names {', '.join(names)}, which no model of scikit-learn is made of; it was not imported")


def find(module, name):
    """The object that a file names. raises NotAllowed"""
    module = PYTHON_2.get(module, module)
    if name in BUILDERS.get(module, ()):
        return getattr(importlib.import_module(module), name)
    of_models = module.split(".", 1)[0] == "sklearn" and not module.startswith(NOT_OF_MODELS)
    if "." not in name and (of_models or module == "numpy" or module.startswith(("numpy.", "scipy.special")) or (module + ".").startswith(CLASSES_OF)):
        found = getattr(importlib.import_module(module), name, None)
        if _is_data(found, of_models, name, module):
            return found
    raise NotAllowed([f"{module}.{name}"])


def _is_data(found, of_models, name, module):
    import numpy

    if isinstance(found, numpy.ufunc):
        return True
    if isinstance(found, type):
        # Where it is defined counts, not where it was found: modules import from others.
        home = found.__module__
        if issubclass(found, numpy.generic):
            return True
        if of_models:
            return home.split(".", 1)[0] == "sklearn" and not home.startswith(NOT_OF_MODELS)
        return (home + ".").startswith(CLASSES_OF)
    # By which Cython restores its classes.
    return of_models and name.startswith("__pyx_unpickle_") and callable(found)


class ModelUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        return find(module, name)

    def persistent_load(self, _):
        raise NotAllowed(["an object outside of the file"])


def read_pickle(file):
    return ModelUnpickler(file).load()


def read_skops(file):
    import skops.io

    data = file.read()
    trusted = skops.io.get_untrusted_types(data=data)
    refused = []
    for dotted in trusted:
        try:
            find(*dotted.rpartition(".")[::2])
        except NotAllowed:
            refused.append(dotted)
    if refused:
        raise NotAllowed(refused)
    return skops.io.loads(data, trusted=trusted)
