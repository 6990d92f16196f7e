"""Plug-ins: workloads, guests and cures that other installed packages add by entry point.

A package names an object in its metadata under one of three groups::

    [project.entry-points."bgsim.workloads"]
    token-ring = "bgsim_token_ring.plugin:WORKLOAD"

The name of the entry point is the name that experiments write; the object is a
:class:`bgsim.workloads.catalogue.Workload`, a :class:`bgsim.guests.catalogue.Kind` or a
:class:`bgsim.cures.Cure`. Installed packages are looked through only when a name is asked for that bgsim
does not have itself, or when all names are listed, and a plug-in is imported only when its own name is
used: who has no plug-ins pays nothing for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

WORKLOAD_GROUP = "bgsim.workloads"
GUEST_GROUP = "bgsim.guests"
CURE_GROUP = "bgsim.cures"

Item = TypeVar("Item")


class OnDemand(Generic[Item]):
    """Something of a registry that is made when its name is first asked for.

    Parameters
    ----------
    make
        Makes it; called once.
    """

    def __init__(self, make: Callable[[], Item]) -> None:
        self.item = cache(make)


class PluginError(ValueError):
    """An installed plug-in cannot be used; the text names it and says why."""


class Registry(Mapping[str, Item], Generic[Item]):
    """Things by name: those that bgsim has, and those that plug-ins add.

    Parameters
    ----------
    built_in
        What bgsim has itself; some of it may be :class:`OnDemand`.
    group
        The group of entry points under which packages add more.
    kind
        What such an entry point has to name.
    name_of
        The name that such a thing says it has, where it does; the entry point's must be the same.

    Raises
    ------
    PluginError
        When a plug-in is used that takes a name already taken, cannot be imported, or is something else.
    """

    def __init__(
        self,
        built_in: Mapping[str, Item | OnDemand[Item]],
        group: str,
        kind: type[Item],
        name_of: Callable[[Item], str] | None = None,
    ) -> None:
        self.built_in = dict(built_in)
        self.group = group
        self._kind = kind
        self._name_of = name_of

    def __getitem__(self, name: str) -> Item:
        if name in self.built_in:
            own = self.built_in[name]
            return own.item() if isinstance(own, OnDemand) else own
        found = _load(self._added()[name])
        if not isinstance(found, self._kind):
            wanted = f"{self._kind.__module__}.{self._kind.__qualname__}"
            raise PluginError(f"{_told(self._added()[name])} is {type(found).__name__}, not a {wanted}")
        if self._name_of is not None and self._name_of(found) != name:
            raise PluginError(f"{_told(self._added()[name])} calls itself '{self._name_of(found)}'")
        return found

    def __contains__(self, name: object) -> bool:
        return name in self.built_in or name in self._added()

    def __iter__(self) -> Iterator[str]:
        yield from self.built_in
        yield from self._added()

    def __len__(self) -> int:
        return len(self.built_in) + len(self._added())

    def added(self) -> tuple[str, ...]:
        """Names that plug-ins add; none of the plug-ins is imported for it."""
        return tuple(self._added())

    def origin(self, name: str) -> tuple[str, str] | None:
        """Distribution and version that add a name; None for bgsim's own."""
        if name in self.built_in:
            return None
        return distribution(self._added()[name])

    def _added(self) -> Mapping[str, EntryPoint]:
        found = entries(self.group)
        for name in found.keys() & self.built_in.keys():
            raise PluginError(f"{_told(found[name])} takes a name that bgsim has itself")
        return found


@cache
def entries(group: str) -> Mapping[str, EntryPoint]:
    """The entry points of a group by name, in the order of their names.

    Raises
    ------
    PluginError
        When two packages add the same name.
    """
    from importlib.metadata import entry_points

    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        if entry.name in found:
            other = " ".join(distribution(found[entry.name]))
            raise PluginError(f"{_told(entry)} is added by {other} too; uninstall one of them")
        found[entry.name] = entry
    return found


def installed() -> dict[str, str]:
    """Versions of the packages that add anything, by name."""
    found = (entries(group).values() for group in (WORKLOAD_GROUP, GUEST_GROUP, CURE_GROUP))
    return dict(sorted(distribution(entry) for several in found for entry in several))


@cache
def _load(entry: EntryPoint) -> object:
    try:
        return entry.load()
    except Exception as error:  # whatever a stranger's module raises is told as that plug-in's fault
        raise PluginError(f"{_told(entry)} cannot be loaded: {type(error).__name__}: {error}") from error


def distribution(entry: EntryPoint) -> tuple[str, str]:
    """Name and version of the package that adds an entry point."""
    return (entry.dist.name, entry.dist.version) if entry.dist is not None else ("unknown", "unknown")


def _told(entry: EntryPoint) -> str:
    thing = entry.group.removeprefix("bgsim.").removesuffix("s")
    return f"the {thing} '{entry.name}' of {' '.join(distribution(entry))} ({entry.value})"
