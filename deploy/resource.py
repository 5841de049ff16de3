"""The base class of a stage's resources: compares each with its declaration, and repairs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

Attributes = Mapping[str, Any]
"""The compared attributes of a resource, by their names."""


class Resource(ABC):
    """One resource of a stage. A subclass declares what it must look like, and how it is read, created and changed."""

    KIND: ClassVar[str]
    STEP: ClassVar[str] = "data"
    """Which step of a deployment repairs it: `data`, `live`, after `chalice deploy` has created it, or `settings`."""
    SURVIVES: ClassVar[bool] = False
    """Whether `make destroy` keeps it unless the users table is named."""

    def __init__(self, name: str, source: str, wanted: Attributes) -> None:
        """`source` is the file that declares the `wanted` attributes."""
        self.name = name
        self.source = source
        self.wanted = wanted

    @abstractmethod
    def read(self) -> Attributes | None:
        """The attributes that it has; None if it does not exist. An attribute that is not declared differs.

        Raises:
            Stop: what has this name belongs to another stage or app.
        """

    @abstractmethod
    def create(self) -> None:
        """Create it. Attributes that still differ afterwards are then changed. What Chalice creates cannot be."""

    @abstractmethod
    def change(self, names: Iterable[str]) -> None:
        """Set the attributes of these names to what is wanted."""

    @abstractmethod
    def delete(self) -> None:
        """Delete it, if it exists and belongs to this stage."""

    def existing(self) -> list[str]:
        """What `delete` would delete, in words."""
        return [] if self.read() is None else [str(self)]

    def faults(self) -> dict[str, str]:
        """What differs from the declaration, as sentences without a full stop, by attribute; "" if all is missing."""
        found = self.read()
        return {"": f"{self} does not exist"} if found is None else self._differing(found)

    def repair(self) -> list[str]:
        """Create it, or change what differs; returns what was done, in words."""
        found, created = self.read(), []
        if found is None:
            self.create()
            found, created = self.read() or {}, [f"{self} does not exist; created"]
        if not (wrong := self._differing(found)):
            return created
        self.change(wrong)
        left = self._differing(self.read() or {})
        return created or [
            f"{sentence}; {'not fixed yet' if name in left else 'fixed'}" for name, sentence in wrong.items()
        ]

    def _differing(self, found: Attributes) -> dict[str, str]:
        return {
            name: self._sentence(name, found.get(name), self.wanted.get(name))
            for name in {**self.wanted, **found}
            if found.get(name) != self.wanted.get(name)
        }

    def _sentence(self, name: str, found: object, wanted: object) -> str:
        plain = all(isinstance(value, str | int | float | None) for value in (found, wanted))
        differs = f"is {found}, not {wanted}" if plain else f"differs from {self.source}"
        return f"{name} of {self} {differs}"

    def __str__(self) -> str:
        return f"{self.KIND} {self.name}"
