"""
Reads a model of scikit-learn out of a pickle or a skops archive, and nothing else: whatever the file names that such models are not
made of ends the reading before it is imported. The confinement is there for what this list lets through.
"""

import functools
import importlib
import pickle
from collections import deque

# Functions and classes by which pickles put objects together.
BUILDERS = {
    "_codecs": {"encode"},
    "builtins": {"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "range", "set", "slice", "str", "tuple"},
    "collections": {"OrderedDict", "defaultdict", "deque"},
    "copyreg": {"_reconstructor"},
    "datetime": {"date", "datetime", "timedelta"},
    "functools": {"partial"},
    "numpy": {"dtype"},
    "numpy._core.multiarray": {"scalar"},
    "numpy._core.numeric": {"_frombuffer"},
    "numpy.core.multiarray": {"scalar"},
    "numpy.core.numeric": {"_frombuffer"},
    "numpy.ma": {"MaskedArray"},
    "numpy.ma.core": {"MaskedArray"},
    "numpy.random._pickle": {"__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor"},
    "numpy.random.bit_generator": {"__pyx_unpickle_SeedSequence"},
    "pandas.core.indexes.base": {"Index", "_new_Index"},
    "pandas.core.indexes.range": {"RangeIndex"},
    "pandas.core.dtypes.dtypes": {"CategoricalDtype"},
    "scipy._lib.array_api_compat.numpy._aliases": {"asarray"},
    "scipy.interpolate": {"interp1d"},
    "scipy.interpolate._interpolate": {"interp1d"},
    "scipy.interpolate._bsplines": {"BSpline"},
    "sklearn.utils.validation": {"check_array"},
}
# Where ufuncs and types of scalars are named.
OF_ARRAYS = {"numpy", "numpy.dtypes", "numpy._core._multiarray_umath", "numpy.core._multiarray_umath", "scipy.special", "scipy.special._ufuncs"}
# Packages all of whose classes are data, beside scikit-learn.
CLASSES_OF = ("scipy.sparse.", "numpy.random.", "numpy.dtypes.")
# Of scikit-learn, what no model is made of; and parts of names that none has.
NOT_OF_MODELS = ("sklearn.datasets", "sklearn.externals", "sklearn.utils._testing")
NEVER = {"__main__", "conftest", "tests"}
# Functions of scikit-learn that a model may hold: scores.
FUNCTIONS_OF = ("sklearn.metrics._", "sklearn.feature_selection._")
PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class NotAllowed(Exception):
    """The file names what no model of scikit-learn is made of."""

    def __init__(self, names):
        super().__init__(f"it names {', '.join(names)}, which no model of scikit-learn is made of")


class Array:
    """Stands for numpy.ndarray, whose constructor takes any bytes for addresses: the functions below alone know what is meant."""

    def __init__(self, *_):
        raise NotAllowed(["numpy.ndarray() as a call"])


def _reconstruct(kind, shape, typecode):
    import numpy

    if kind is not Array:
        raise NotAllowed([f"an array of the kind {kind!r}"])
    # Its state comes afterwards, and is checked by numpy.
    return numpy.zeros((0,), "b")


def _reconstruct_masked(kind, base, shape, typecode):
    import numpy

    if kind is not numpy.ma.MaskedArray or base is not Array:
        raise NotAllowed(["a masked array of another kind"])
    return numpy.ma.core._mareconstruct(kind, numpy.ndarray, shape, typecode)


REPLACED = {
    ("numpy", "ndarray"): Array,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.ma.core", "_mareconstruct"): _reconstruct_masked,
}


def find(module, name):
    """The object that a file names. raises NotAllowed"""
    module = PYTHON_2.get(module, module)
    if (module, name) in REPLACED:
        return _builder(REPLACED[module, name])
    if name in BUILDERS.get(module, ()):
        return _builder(getattr(importlib.import_module(module), name))
    package = module.split(".", 1)[0]
    of_models = package == "sklearn" and not module.startswith(NOT_OF_MODELS)
    known = of_models or module in OF_ARRAYS or (module + ".").startswith(CLASSES_OF)
    if known and "." not in name and NEVER.isdisjoint(module.split(".")):
        found = getattr(importlib.import_module(module), name, None)
        if _is_data(found, of_models, name):
            return _builder(found) if _restores(name) else found
    raise NotAllowed([f"{module}.{name}"])


def _is_data(found, of_models, name):
    import numpy

    if isinstance(found, numpy.ufunc):
        return True
    # Where it is defined counts, not where it was found: modules import from others.
    home = getattr(found, "__module__", None) or ""
    if isinstance(found, type):
        if issubclass(found, numpy.generic):
            return True
        if of_models:
            return home.split(".", 1)[0] == "sklearn" and not home.startswith(NOT_OF_MODELS)
        return (home + ".").startswith(CLASSES_OF)
    # By which Cython restores its classes, and the trees of neighbours theirs.
    if of_models and callable(found) and _restores(name):
        return True
    return of_models and callable(found) and not name.startswith("_") and home.startswith(FUNCTIONS_OF)


def _restores(name):
    return name.startswith("__pyx_unpickle_") or name == "newObj"


# Functions that may be called while a file is read, by their identity: they live as long as their modules.
_builders = set()


def _builder(function):
    _builders.add(id(function))
    return function


class ModelUnpickler(pickle._Unpickler):
    """
    Puts objects together by classes, and by the functions that were made for that. What else a file may name, such as a score, it may
    hold and not call: an attribute by the name of a method would be called too. The unpickler in C has no such places to look.
    """

    dispatch = dict(pickle._Unpickler.dispatch)

    def find_class(self, module, name):
        return find(module, name)

    def persistent_load(self, _):
        raise NotAllowed(["an object outside of the file"])

    def load_reduce(self):
        _require_builder(self.stack[-2])
        super().load_reduce()

    def load_newobj(self):
        _require_class(self.stack[-2])
        super().load_newobj()

    def load_newobj_ex(self):
        _require_class(self.stack[-3])
        super().load_newobj_ex()

    def _instantiate(self, klass, args):
        _require_class(klass)
        super()._instantiate(klass, args)

    def load_build(self):
        built = self.stack[-2]
        # The state of a class or a function is that of all who use it.
        if isinstance(built, type) or not hasattr(type(built), "__dict__") or callable(built) and type(built).__module__ in ("builtins", "numpy"):
            raise NotAllowed([f"a state for {getattr(built, '__qualname__', built)!r}"])
        if "__setstate__" in getattr(built, "__dict__", ()):
            raise NotAllowed(["a __setstate__ of an object's own"])
        super().load_build()

    def load_append(self):
        _require_kind(self.stack[-2], list, deque)
        super().load_append()

    def load_appends(self):
        _require_kind(self.metastack[-1][-1], list, deque)
        super().load_appends()

    def load_additems(self):
        _require_kind(self.metastack[-1][-1], set)
        super().load_additems()

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.NEWOBJ_EX[0]] = load_newobj_ex
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.APPEND[0]] = load_append
    dispatch[pickle.APPENDS[0]] = load_appends
    dispatch[pickle.ADDITEMS[0]] = load_additems


def _require_builder(called):
    if not isinstance(called, type) and id(called) not in _builders:
        raise NotAllowed([f"{getattr(called, '__qualname__', type(called).__name__)}() as a call"])


def _require_class(called):
    if not isinstance(called, type):
        raise NotAllowed([f"an object of {called!r}"])


def _require_kind(thing, *kinds):
    if type(thing) not in kinds:
        raise NotAllowed([f"elements of {type(thing).__name__}"])


# Attributes that scikit-learn looks up by a name that the model holds; by others a name could lead anywhere.
GETTERS = {"auto", "coef_", "feature_importances_"}


def _refuse_getters(model):
    import numpy

    seen = set()
    left = [model]
    while left:
        thing = left.pop()
        if id(thing) in seen or isinstance(thing, (str, bytes, int, float, type)):
            continue
        seen.add(id(thing))
        if isinstance(thing, dict):
            getter = thing.get("importance_getter", "auto")
            if not isinstance(getter, str) or getter not in GETTERS:
                raise NotAllowed([f"importance_getter={getter!r}"])
            left.extend(thing.values())
        elif isinstance(thing, (list, tuple, set, frozenset, deque)):
            left.extend(thing)
        elif isinstance(thing, numpy.ndarray):
            if thing.dtype == object:
                left.extend(thing.ravel().tolist())
        elif isinstance(thing, functools.partial):
            left.extend([thing.func, thing.args, thing.keywords])
        else:
            left.append(getattr(thing, "__dict__", None) or ())


def read_pickle(file):
    try:
        model = ModelUnpickler(file).load()
    except (KeyError, IndexError, EOFError) as error:
        raise pickle.UnpicklingError("invalid load key, or pickle data was truncated: it is no pickle, or not a whole one") from error
    _refuse_getters(model)
    return model


def read_skops(file):
    import skops.io

    data = file.read()
    trusted = skops.io.get_untrusted_types(data=data)
    refused = [dotted for dotted in trusted if not _finds(dotted)]
    if refused:
        raise NotAllowed(refused)
    model = skops.io.loads(data, trusted=trusted)
    _refuse_getters(model)
    return model


def _finds(dotted):
    try:
        find(*dotted.rpartition(".")[::2])
    except NotAllowed:
        return False
    return True
