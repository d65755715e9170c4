"""The fitted model: predictions with an interval, the terms they are made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
from chex import Numeric
from jax import Array

from fabricmodel.errors import FabricError, FabricModelError
from fabricmodel.fabric import Fabric
from fabricmodel.fitting.cases import QUICK, Cases, cases, pad_rows, seconds
from fabricmodel.fitting.labels import algorithm_of
from fabricmodel.fitting.parameters import Parameters, parameters, prices, with_prices
from fabricmodel.fitting.posterior import Discrepancy, octaves_outside
from fabricmodel.fitting.solve import Solution
from fabricmodel.measurements import Measurements
from fabricmodel.timing.collective import check_collective

_TERMS = {
    "round_s": "latency",
    "hop_s": "latency",
    "message_s": "latency",
    "jitter_s": "stragglers",
    "byte_s": "bandwidth",
    "crowd_byte_s": "contention",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seen:
    """What a model was fitted to.

    Attributes:
      rows: how many measurements.
      ranks, sizes: smallest and largest (NaN without data).
      collectives: that were measured.
    """

    rows: int = 0
    ranks: tuple[float, float] = (np.nan, np.nan)
    sizes: tuple[float, float] = (np.nan, np.nan)
    collectives: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """Predicted times of one question, or of an array of them.

    Attributes:
      median_s: seconds.
      log_sd: standard deviation of the logarithm: prices, noise and discrepancy.
      terms: seconds by cause; they add up to the median.
      warnings: in words, where the question lies outside the data.
    """

    median_s: np.ndarray
    log_sd: np.ndarray
    terms: Mapping[str, np.ndarray]
    warnings: tuple[str, ...] = ()

    def interval(self, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper seconds of the central interval of a probability.

        Raises:
          FabricModelError: unless 0 < level < 1.
        """
        if not 0.0 < level < 1.0:
            what, remedy = f"{level} is no probability", "Give one between 0 and 1"
            raise FabricModelError("level", what, remedy)
        width = NormalDist().inv_cdf(0.5 + level / 2.0) * self.log_sd
        return self.median_s * np.exp(-width), self.median_s * np.exp(width)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
    """Predicted seconds of the rows of a table: median and 90 % interval, (R,)."""

    median_s: np.ndarray
    low_s: np.ndarray
    high_s: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class FittedModel:
    """A fabric whose prices were fitted, and how sure the fit is of each.

    Attributes:
      fabric: at the fitted prices.
      parameters: what was learned, and the catalogue's belief in it.
      theta: (n,) fitted, in units of that belief.
      covariance: (n, n) of theta.
      noise: log scale of a measurement's noise, typical of the series.
      seen: what it was fitted to.
      solution: how the search went; None without data.
      series_launch_s: what each series adds to the launch, where there are several.
      discrepancy: what the model itself may miss.
    """

    fabric: Fabric
    parameters: Parameters
    theta: np.ndarray
    covariance: np.ndarray
    noise: float
    seen: Seen
    solution: Solution | None
    series_launch_s: Mapping[str, float] = dataclasses.field(default_factory=dict)
    discrepancy: Discrepancy = dataclasses.field(default_factory=Discrepancy)

    @property
    def converged(self) -> bool:
        """Whether the search met its tolerance; true without data."""
        return self.solution is None or self.solution.converged

    def predict(
        self,
        collective: str,
        size_bytes: Numeric,
        ranks: Numeric,
        ranks_per_node: Numeric | None = None,
        algorithm: str | Sequence[str] = "",
        sides: Sequence[str] | None = None,
    ) -> Prediction:
        """Predict a collective; arrays broadcast.

        Args:
          collective: as in ``collective_time``.
          size_bytes: bytes of the full vector, nccl-tests convention.
          ranks: that take part, placed innermost levels first.
          ranks_per_node: where a job does not fill its nodes.
          algorithm: that the library is forced to use, "" where it chooses; one for
            all, or one for each question.
          sides: for each question, the sides of its torus where they are not the
            nearest to a cube.

        Raises:
          FabricError: for ranks that do not divide into the fabric, or a size that is
            not positive.
        """
        check_collective(collective)
        nodes = np.nan if ranks_per_node is None else ranks_per_node
        volumes, counts, nodes = np.broadcast_arrays(
            np.asarray(size_bytes, float), np.asarray(ranks, float), nodes
        )
        shape = volumes.shape
        volumes, counts, nodes = volumes.ravel(), counts.ravel(), nodes.ravel()
        _check_sizes(volumes)
        forced = algorithm
        if isinstance(algorithm, str):
            forced = [algorithm] * len(volumes)
        with jax.enable_x64(True):
            rows = pad_rows(
                cases(self.fabric, collective, volumes, counts, nodes, forced, sides)
            )
            names = tuple(prices(self.fabric))
            median, slopes, terms = _explain(
                self.fabric, self.parameters, self.theta, names, rows
            )
        n = len(volumes)
        median, slopes = np.asarray(median)[:n], np.asarray(slopes)[:n]
        variance = np.einsum("ri,ij,rj->r", slopes, self.covariance, slopes)
        outside = self._outside(collective, volumes, counts)
        log_sd = np.sqrt(variance + self.noise**2 + outside**2)
        return Prediction(
            median_s=median.reshape(shape),
            log_sd=log_sd.reshape(shape),
            terms=_grouped(names, np.asarray(terms)[:, :n], shape),
            warnings=self._warnings(collective, volumes, counts),
        )

    def predict_rows(self, times: Measurements) -> Rows:
        """Predict every row of a table, in its order, its own launch included.

        Raises:
          FabricError: as ``predict``.
        """
        columns = {name: np.full(len(times), np.nan) for name in ("mid", "low", "high")}
        collectives = np.asarray(times.collective)
        extra = np.array([self.series_launch_s.get(str(s), 0.0) for s in times.series])
        for collective in sorted({str(name) for name in collectives}):
            mask = collectives == collective
            part = times.filter(mask)
            guess = self.predict(
                collective,
                part.size_bytes,
                part.ranks,
                part.ranks_per_node,
                [algorithm_of(label, collective) for label in part.algorithm],
                part.frame["topology_shape"].to_list(),
            )
            found = (guess.median_s, *guess.interval(0.9))
            for column, seconds_ in zip(columns.values(), found, strict=True):
                column[mask] = seconds_ + extra[mask]
        return Rows(
            median_s=columns["mid"], low_s=columns["low"], high_s=columns["high"]
        )

    def on(self, fabric: Fabric) -> FittedModel:
        """Carry the fitted prices to another fabric with some of the same links.

        Prices that the two share, by name, keep their fitted values and covariance;
        the others are the catalogue's. So a fit of one instance speaks for a cluster.
        """
        stems = [
            name.removesuffix(".latency")
            for name in self.parameters.names
            if name.endswith(".latency")
        ]
        wanted = parameters(fabric, stems)
        theta = np.zeros(len(wanted.names))
        cov = np.eye(len(wanted.names))
        old = {name: i for i, name in enumerate(self.parameters.names)}
        both = [(i, old[x]) for i, x in enumerate(wanted.names) if x in old]
        new_at, old_at = (list(part) for part in zip(*both, strict=True)) if both else (
            [], [],
        )  # fmt: skip
        theta[new_at] = self.theta[old_at]
        cov[np.ix_(new_at, new_at)] = self.covariance[np.ix_(old_at, old_at)]
        # The catalogue's centres are the same for both, or one would not share a link.
        priced = wanted.apply(fabric, jnp.asarray(theta))
        return dataclasses.replace(
            self,
            fabric=concrete(priced),
            parameters=wanted,
            theta=theta,
            covariance=cov,
        )

    def informed(self) -> dict[str, float]:
        """Return how far the data narrowed each price: 1 - posterior / prior spread.

        Near 0 the data said nothing and the catalogue speaks; near 1 they know.
        """
        sd = np.sqrt(np.diag(self.covariance))
        return {
            name: float(1.0 - width)
            for name, width in zip(self.parameters.names, sd, strict=True)
        }

    def _outside(
        self, collective: str, sizes: np.ndarray, ranks: np.ndarray
    ) -> np.ndarray:
        d = self.discrepancy
        known = collective in self.seen.collectives or not self.seen.rows
        return np.sqrt(
            d.floor**2
            + (0.0 if known else d.unseen) ** 2
            + d.ranks_octave**2 * octaves_outside(ranks, *self.seen.ranks)
            + d.size_octave**2 * octaves_outside(sizes, *self.seen.sizes)
        )

    def _warnings(
        self, collective: str, sizes: np.ndarray, ranks: np.ndarray
    ) -> tuple[str, ...]:
        if not self.seen.rows:
            return ("no measurements: catalogue prices alone",)
        said = []
        if collective not in self.seen.collectives:
            said.append(f"{collective} was not measured: it rests on the others")
        largest, smallest = self.seen.ranks[1], self.seen.ranks[0]
        if ranks.max() > largest:
            said.append(
                f"{ranks.max() / largest:,.3g} times beyond your largest run "
                f"({largest:,.0f} ranks)"
            )
        if ranks.min() < smallest:
            said.append(f"below your smallest run ({smallest:,.0f} ranks)")
        if sizes.max() > self.seen.sizes[1] or sizes.min() < self.seen.sizes[0]:
            said.append(
                "sizes outside the measured "
                f"{self.seen.sizes[0]:,.0f} to {self.seen.sizes[1]:,.0f} bytes"
            )
        return tuple(said)


def _explain(
    fabric: Fabric,
    known: Parameters,
    theta: np.ndarray,
    price_names: tuple[str, ...],
    rows: Cases,
) -> tuple[Array, Array, Array]:
    """Times, their log slopes by parameter, and their terms by price.

    Time is homogeneous in the prices, so ``price dT/dprice`` are its terms (Euler).
    """
    logs = jnp.asarray(np.log(known.centre) + known.spread * theta)
    plain, names = _anonymous(fabric, known.names)
    time, slopes = _slopes(logs, plain, names, rows)
    at = np.array([known.names.index(name) for name in price_names], int)
    return time, slopes * known.spread, (slopes[:, at] * time[:, None]).T


def _anonymous(
    fabric: Fabric, names: tuple[str, ...]
) -> tuple[Fabric, tuple[str, ...]]:
    """Number the link classes, so that fabrics of one shape share their programs."""
    links = dict.fromkeys(level.link or level.name for level in fabric.levels)
    number = {link: f"link{i}" for i, link in enumerate(links)}
    levels = tuple(
        dataclasses.replace(level, link=number[level.link or level.name])
        for level in fabric.levels
    )
    renamed = []
    for name in names:
        link, _, price = name.rpartition(".")
        renamed.append(f"{number[link]}.{price}" if link in number else name)
    plain = dataclasses.replace(fabric, name="", spread={}, levels=levels)
    return plain, tuple(renamed)


@partial(jax.jit, static_argnames="names", compiler_options=QUICK)
def _slopes(
    logs: Array, fabric: Fabric, names: tuple[str, ...], rows: Cases
) -> tuple[Array, Array]:
    """Seconds, and the derivative of their logarithm by each log price."""

    def log_time(logs: Array, row: Cases) -> Array:
        one = jax.tree.map(lambda leaf: leaf[None], row)
        return jnp.log(seconds(with_prices(fabric, names, jnp.exp(logs)), one))[0]

    slope = jax.vmap(jax.value_and_grad(log_time), in_axes=(None, 0))
    logged, slopes = slope(logs, rows)
    return jnp.exp(logged), slopes


def _check_sizes(size_bytes: np.ndarray) -> None:
    bad = size_bytes[~(np.isfinite(size_bytes) & (size_bytes > 0))]
    if len(bad):
        raise FabricError(
            "size_bytes", f"{bad[0]} is no size", "Give a positive number of bytes"
        )


def concrete(fabric: Fabric) -> Fabric:
    """Turn the leaves back into floats and arrays of numpy."""
    return jax.tree.map(
        lambda x: float(x) if np.ndim(x) == 0 else np.asarray(x), fabric
    )


def _grouped(
    names: tuple[str, ...], terms: np.ndarray, shape: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Add terms up under the names a person uses: ``efa latency``, ``launch``."""
    plain = {
        "launch_s": "launch",
        "reduce_byte_s": "reduction",
        "memory_round_s": "memory",
        "memory_byte_s": "memory",
    }
    grouped: dict[str, np.ndarray] = {}
    for name, term in zip(names, terms, strict=True):
        if name in plain:
            label = plain[name]
        else:
            link, price = name.rsplit(".", 1)
            label = f"{link} {_TERMS[price]}"
        grouped[label] = grouped.get(label, np.zeros(shape)) + term.reshape(shape)
    return grouped
