"""Who labels in a project, and what each is called on a tab."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from backend.label_studio import User

PREFIX = "nnloop: "

TITLE_LENGTH = 16
"""Characters of a tab's title that Label Studio 1.23.2 shows, of which a tab has room for some 117
pixels while there are up to eight (in a window of 1,400)."""

IDLE_S = 30 * 24 * 3600.0
"""Who has labelled nothing for so long counts as gone, while others label."""

FEW = 5
"""Up to so many people each has a tab from the start; of more, only who labels here."""

STARTER = 2
"""Tasks of somebody who has never labelled here while others do: enough to begin with."""


@dataclass(frozen=True, slots=True)
class Annotator:
    """Somebody with a queue. ``name`` is as short as it can be to tell them from the others."""

    id: int
    name: str
    is_starter: bool = False

    @property
    def title(self) -> str:
        """Of their tab."""
        return PREFIX + self.name


@dataclass(frozen=True, slots=True)
class Annotators:
    """Who has a queue, those first who labelled last; ``unknown`` are names that nobody has."""

    found: tuple[Annotator, ...]
    unknown: tuple[str, ...] = ()


def annotators_of(
    users: Sequence[User],
    own_id: int,
    last_labelled: Mapping[int, float],
    named: Sequence[str],
    now: float,
) -> Annotators:
    """Decides who has a queue.

    Those that ``named`` names, if it names any. Otherwise who has labelled here within ``IDLE_S``;
    and, where there are no more than ``FEW`` people, the others too, with a few tasks to begin
    with. As long as nobody has labelled: the few, with whole queues; of more than ``FEW`` only the
    account that nnloop uses. That account is nobody's unless it labels or is the only one.

    Args:
        users: Everybody in the organisation.
        own_id: The account that nnloop uses.
        last_labelled: When each last submitted or skipped a task here, in seconds; by id.
        named: Addresses, names, or the part of an address before the @.
        now: Seconds.
    """
    by_recency = sorted(users, key=lambda user: (-last_labelled.get(user.id, 0.0), user.id))
    if named:
        chosen = {wanted: _named(wanted, users) for wanted in named}
        ids = {user.id for user in chosen.values() if user is not None}
        found = [user for user in by_recency if user.id in ids]
        unknown = tuple(wanted for wanted, user in chosen.items() if user is None)
        return Annotators(_with_names(found, ()), unknown)
    active = [user for user in by_recency if now - last_labelled.get(user.id, 0.0) < IDLE_S]
    others = [user for user in by_recency if user.id != own_id and user not in active]
    few = others if len(others) + len(active) <= FEW else []
    if active:
        return Annotators(_with_names([*active, *few], {user.id for user in few}))
    return Annotators(_with_names(few or [u for u in users if u.id == own_id], ()))


def names_of_nobody(named: Sequence[str], users: Sequence[User]) -> tuple[str, ...]:
    """Of names that a person gave, those that nobody has, or not one alone."""
    return tuple(wanted for wanted in named if _named(wanted, users) is None)


def _named(wanted: str, users: Sequence[User]) -> User | None:
    """The one user that a text means: nobody when it could be two."""
    text = " ".join(wanted.lower().split())
    for names_of in (_addresses, _whole_names, _parts):
        found = [user for user in users if text in names_of(user)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _addresses(user: User) -> set[str]:
    return {user.email.lower()}


def _whole_names(user: User) -> set[str]:
    return {f"{user.first_name} {user.last_name}".strip().lower()}


def _parts(user: User) -> set[str]:
    return {user.first_name.lower(), user.email.lower().partition("@")[0]}


def _with_names(users: Sequence[User], starters: Collection[int]) -> tuple[Annotator, ...]:
    names = _short_names(users)
    return tuple(Annotator(user.id, names[user.id], user.id in starters) for user in users)


def _short_names(users: Sequence[User]) -> dict[int, str]:
    """First names, longer only where two would be the same; each at most what a tab shows."""
    room = TITLE_LENGTH - len(PREFIX)
    names: dict[int, str] = {}
    forms = [[_cut(form, room) for form in _forms(user)] for user in users]
    for number in range(max((len(one) for one in forms), default=0)):
        counts = Counter(one[min(number, len(one) - 1)].lower() for one in forms)
        for user, one in zip(users, forms, strict=True):
            name = one[min(number, len(one) - 1)]
            taken = {other.lower() for other in names.values()}
            if user.id not in names and counts[name.lower()] == 1 and name.lower() not in taken:
                names[user.id] = name
    for user, one in zip(users, forms, strict=True):
        if user.id not in names:
            # No two people share an id.
            names[user.id] = f"{_cut(one[0], room - len(str(user.id)) - 1)} {user.id}"
    return names


def _forms(user: User) -> list[str]:
    """What somebody may be called, the shortest first."""
    local = user.email.partition("@")[0]
    if not user.first_name and not user.last_name:
        return [local]
    first = user.first_name or user.last_name
    last = user.last_name if user.first_name else ""
    return [first, *([f"{first} {last[0]}", f"{first} {last}"] if last else []), local]


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
