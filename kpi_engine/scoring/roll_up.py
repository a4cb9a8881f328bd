"""Scores up the tree: KPI, category, sub-dimension, dimension, city."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, model_validator

from kpi_engine.scoring.combine import Mean, combine
from kpi_engine.scoring.documents import Table, parse
from kpi_engine.scoring.goalposts import Text
from kpi_engine.scoring.score import Score, State
from pulso.errors import ConfigurationError

Path = tuple[str, ...]

CITY = "city"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a KPI stands. Category names repeat between sub-dimensions, so nodes go by their whole path."""

    kpi: str
    dimension: str
    sub_dimension: str
    category: str

    @property
    def path(self) -> Path:
        """From the dimension down to the KPI."""
        return (self.dimension, self.sub_dimension, self.category, self.kpi)


class NodeWeight(Table):
    """The weight of one node among its siblings; `path` from the dimension down."""

    path: Annotated[tuple[Text, ...], Field(min_length=1, max_length=4)]
    weight: Annotated[float, Field(gt=0)]


class WeightSet(Table):
    """A city's own weights. A node that is not named weighs 1; without any, all siblings weigh the same."""

    name: Text = "equal"
    source: str = ""
    approved_by: str = ""
    weight: tuple[NodeWeight, ...] = ()

    @model_validator(mode="after")
    def _one_each(self) -> "WeightSet":
        paths = [each.path for each in self.weight]
        if twice := sorted({" / ".join(path) for path in paths if paths.count(path) > 1}):
            raise ValueError(f"more than one weight for {', '.join(twice)}")
        return self

    def by_path(self) -> dict[Path, float]:
        """The weights that are named."""
        return {each.path: each.weight for each in self.weight}


EQUAL = WeightSet()


def load_weights(text: str) -> WeightSet:
    """Weights from TOML with tables `[[weight]]`. Raises ConfigurationError that names every fault by its key."""
    return parse(text, WeightSet, "weights")


@dataclass(frozen=True, slots=True)
class Node:
    """A node with its score and those below it.

    `weight` is its share among its siblings, 0-1, before anything missing is left out; `mean` how its children were
    averaged, None for a KPI. `kpi_coverage` is the share by weight, 0-1, of the KPIs below that the score rests on:
    where each level lacks a third it is far below the coverage of the children.
    """

    path: Path
    score: Score
    weight: float
    kpi_coverage: float
    mean: Mean | None = None
    children: tuple["Node", ...] = ()

    def walk(self) -> Iterator["Node"]:
        """This node and all below it, from the top."""
        yield self
        for child in self.children:
            yield from child.walk()


def roll_up(
    places: Iterable[Place], scores: Mapping[str, Score], weights: WeightSet = EQUAL, across: Mean = Mean.GEOMETRIC
) -> Node:
    """The city's node, with all others below it; our own design.

    Arithmetic means up to the dimensions; `across` them the geometric mean with a floor of 1 per dimension, so that a
    strong one cannot hide a bad one. A node is scored with at least two thirds of its children by weight (the limit
    included), over those, with renormalised weights; else it is `insufficient`. A KPI without goalposts counts as a
    child without score. Raises ConfigurationError for a KPI placed twice or a weight of a node that does not exist.
    """
    paths = [place.path for place in places]
    _check(paths, weights)
    return _node((), 1.0, paths, scores, weights.by_path(), across)


def kpi_weights(city: Node) -> dict[str, float]:
    """Share of each KPI in the city, before anything missing is left out; they sum to 1."""
    found: dict[str, float] = {}
    shares: dict[Path, float] = {}
    for node in city.walk():
        shares[node.path] = node.weight * shares.get(node.path[:-1], 1.0)
        if node.mean is None:
            found[node.path[-1]] = shares[node.path]
    return found


def _node(  # noqa: PLR0913, PLR0917 (one private recursion that passes everything down)
    path: Path,
    weight: float,
    paths: Sequence[Path],
    scores: Mapping[str, Score],
    weights: Mapping[Path, float],
    across: Mean,
) -> Node:
    if len(path) == 4:
        score = scores.get(path[-1], Score.missing(path[-1], State.NOT_REPORTED))
        return Node(path, score, weight, float(score.value is not None))
    depth = len(path) + 1
    below = list(dict.fromkeys(each[:depth] for each in paths if each[: len(path)] == path))
    own = [weights.get(each, 1.0) for each in below]
    shares = [each / sum(own) for each in own]
    children = tuple(
        _node(each, share, paths, scores, weights, across) for each, share in zip(below, shares, strict=True)
    )
    mean = Mean.ARITHMETIC if path else across
    score = combine(path[-1] if path else CITY, [child.score for child in children], shares, mean)
    reached = sum(child.weight * child.kpi_coverage for child in children if child.score.value is not None)
    return Node(path, score, weight, reached, mean, children)


def _check(paths: Sequence[Path], weights: WeightSet) -> None:
    kpis = [path[-1] for path in paths]
    known = {path[:depth] for path in paths for depth in range(1, 5)}
    faults = [f"{kpi} has more than one place" for kpi in sorted({kpi for kpi in kpis if kpis.count(kpi) > 1})]
    faults += [
        f"weight[{number}].path: there is no {' / '.join(each.path)}"
        for number, each in enumerate(weights.weight, 1)
        if each.path not in known
    ]
    if faults:
        raise ConfigurationError("the scoring tree is not usable:", faults=faults)
