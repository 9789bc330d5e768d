"""How shapes in signatures are checked: beartype checks, inside a scope of jaxtyping's where a signature has axes.

jaxtyping's import hook would bind each function's arguments, at every call, and have them checked twice: in training
that costs as much as all the rest.
"""

import inspect
from functools import partial, wraps
from typing import get_args

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray

typed = beartype(conf=BeartypeConf(violation_type=TypeError))

jaxtyped = inspect.unwrap(jaxtyping.jaxtyped)  # its own, also where pytest imports this again to look for doctests


@wraps(jaxtyped)
def checked(target=None, *, typechecker):
    """What the hook decorates everything with, in the place of `jaxtyping.jaxtyped`."""
    if target is None:
        return partial(checked, typechecker=typechecker)
    said = inspect.get_annotations(target).values() if inspect.isfunction(target) else [str(target)]
    if any(isinstance(each, str) for each in said):  # a class, or a name that is not there yet: jaxtyping's to look up
        return jaxtyped(target, typechecker=typechecker)
    function = typechecker(target)
    return _with_axes(function) if any(map(_has_axes, said)) else function


def _with_axes(function):
    """A name of an axis means one size in a call, and another in the next."""

    @wraps(function)
    def scoped(*arguments, **options):
        with jaxtyped("context"):
            return function(*arguments, **options)

    return scoped


def _has_axes(annotation):
    if inspect.isclass(annotation) and issubclass(annotation, AbstractArray):
        return True
    parts = annotation if isinstance(annotation, list) else get_args(annotation)  # a list: a callable's arguments
    return any(map(_has_axes, parts))


jaxtyping.jaxtyped = checked
