"""The fitted model: predictions with an interval, the terms they are made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from chex import Numeric

from fabricmodel.fabric import Fabric
from fabricmodel.fitting.advice import Suggestion, advise
from fabricmodel.fitting.cases import pad_rows
from fabricmodel.fitting.discrepancy import Discrepancy, Field
from fabricmodel.fitting.explain import explain, grouped
from fabricmodel.fitting.identify import TradeOff, trade_offs
from fabricmodel.fitting.parameters import Parameters, parameters, prices
from fabricmodel.fitting.posterior import octaves_outside
from fabricmodel.fitting.prediction import Prediction, Rows, Seen
from fabricmodel.fitting.questions import Questions, check_sizes, measured
from fabricmodel.fitting.solve import Solution
from fabricmodel.fitting.statistic import Ratios, ask
from fabricmodel.measurements import Measurements
from fabricmodel.timing.collective import check_collective

MISSED = "not in the model"
"""The term of a prediction that the discrepancy adds."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FittedModel:
    """A fabric whose prices were fitted, and how sure the fit is of each.

    Attributes:
      fabric: at the fitted prices.
      parameters: what was learned, and the catalogue's belief in it.
      theta: (n,) fitted, in units of that belief.
      covariance: (n, n) of theta.
      seen: what it was fitted to.
      solution: how the search went; None without data.
      discrepancy: what a model typically misses.
      beliefs: the same at the scale of each series.
      fields: by collective and series, what this one missed where it was measured.
      repeat_sd: log standard deviation of repeated measurements, by series.
      series_launch_s: what each series adds to the launch, where there are several.
      ratios: of best and 90th percentile to the median, by statistic and series.
    """

    fabric: Fabric
    parameters: Parameters
    theta: np.ndarray
    covariance: np.ndarray
    seen: Seen
    solution: Solution | None
    discrepancy: Discrepancy = dataclasses.field(default_factory=Discrepancy)
    beliefs: Mapping[str, Discrepancy] = dataclasses.field(default_factory=dict)
    fields: Mapping[tuple[str, str], Field] = dataclasses.field(default_factory=dict)
    repeat_sd: Mapping[str, float] = dataclasses.field(default_factory=dict)
    series_launch_s: Mapping[str, float] = dataclasses.field(default_factory=dict)
    ratios: Ratios = dataclasses.field(default_factory=dict)

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
        statistic: str = "median",
    ) -> Prediction:
        """Predict a collective; arrays broadcast.

        Args:
          collective: as in ``collective_time``.
          size_bytes: bytes of the full vector, nccl-tests convention.
          ranks: that take part, placed innermost levels first.
          ranks_per_node: where a job does not fill its nodes.
          algorithm: that the library is forced to use, as logs call it, "" where it
            chooses; one for all, or one for each question.
          sides: for each question, the sides of its torus where they are not the
            nearest to a cube.
          statistic: of many runs of the same: ``median``, ``best``, or ``p90``, the
            time that 90 % of them keep; ``median_s`` is then the median of what that
            may be.

        Raises:
          FabricError: for ranks that do not divide into the fabric, a size that is not
            positive, or a statistic that no measurement told.
        """
        check_collective(collective)
        nodes = np.nan if ranks_per_node is None else ranks_per_node
        volumes, counts, nodes = np.broadcast_arrays(
            np.asarray(size_bytes, float), np.asarray(ranks, float), nodes
        )
        shape = volumes.shape
        volumes, counts, nodes = volumes.ravel(), counts.ravel(), nodes.ravel()
        check_sizes(volumes)
        labels = algorithm
        if isinstance(algorithm, str):
            labels = [algorithm] * len(volumes)
        asked = Questions(
            collective=collective,
            size_bytes=volumes,
            ranks=counts,
            ranks_per_node=nodes,
            labels=labels,
            sides=sides,
        )
        # one series alone is the system that the question is about
        series = self.seen.series[0] if len(self.seen.series) == 1 else None
        return self._answer(asked, series, shape, statistic)

    def _answer(
        self,
        asked: Questions,
        series: str | None,
        shape: tuple[int, ...],
        statistic: str = "median",
    ) -> Prediction:
        """Answer for a series that was measured, or for none in particular."""
        ratio, spread = ask(
            self.ratios, statistic, series, asked.size_bytes, asked.ranks
        )
        time, bound, slopes, terms = self._priced(asked, series)
        missed, variance, drift = self._missed(asked, series)
        slopes = slopes + drift
        variance = variance + np.einsum("ri,ij,rj->r", slopes, self.covariance, slopes)
        variance = variance + spread**2
        whole = np.maximum(time * np.exp(missed), bound)
        terms = {name: term.reshape(shape) for name, term in terms.items()}
        if self.fields:
            terms[MISSED] = (whole - time).reshape(shape)
        told = np.maximum(whole * np.exp(ratio), bound)
        if statistic != "median":
            terms[f"{statistic} beside median"] = (told - whole).reshape(shape)
        return Prediction(
            median_s=told.reshape(shape),
            log_scale=np.sqrt(variance).reshape(shape),
            terms=terms,
            warnings=self.seen.warnings(
                asked.collective, asked.size_bytes, asked.ranks
            ),
        )

    def _priced(
        self, asked: Questions, series: str | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Counts x prices, (R,), without what the model misses.

        Returns:
          Seconds, their bound, (R, n) slopes of the logarithm by the parameters, and
          the seconds by cause.
        """
        with jax.enable_x64(True):
            rows = pad_rows(asked.cases(self.fabric))
            names = tuple(prices(self.fabric))
            time, bound, slopes, terms = (
                np.asarray(part)
                for part in explain(
                    self.fabric, self.parameters, self.theta, names, rows
                )
            )
        n = len(asked)
        found = grouped(names, terms[:, :n], (n,))
        extra = self.series_launch_s.get(series or "", 0.0)
        found["launch"] = found.get("launch", np.zeros(n)) + extra
        slopes = slopes[:n] * (time[:n] / (time[:n] + extra))[:, None]
        return time[:n] + extra, bound[:n], slopes, found

    def _missed(
        self, asked: Questions, series: str | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log of what the model misses: mean, variance, slopes by the parameters.

        The variance holds the noise of a measurement and what larger scales may add.
        """
        typical, repeats = self.discrepancy, self.repeat_sd
        d = self.beliefs.get(series or "", typical)
        spread = repeats.get(series or "", max(repeats.values(), default=0.0))
        ranks = octaves_outside(asked.ranks, *self.seen.ranks)
        sizes = octaves_outside(asked.size_bytes, *self.seen.sizes)
        more = (
            d.walk_sd**2 * ranks
            + typical.field_sd**2 * -np.expm1(-sizes / typical.field_octaves)
            + max(d.noise_sd, spread) ** 2
        )
        field = self.fields.get((asked.collective, series or ""))
        if field is not None:
            mean, variance, drift = field.ask(asked.points())
            return mean, variance + more, drift
        if self.seen.rows and asked.collective not in self.seen.collectives:
            more = more + d.unseen_sd**2
        nothing = np.zeros(len(asked))
        return nothing, d.field_sd**2 + more, np.zeros((len(asked), len(self.theta)))

    def predict_rows(self, times: Measurements) -> Rows:
        """Predict every row of a table, in its order, its own launch included.

        Raises:
          FabricError: as ``predict``.
        """
        names = [field.name for field in dataclasses.fields(Rows)]
        columns = {name: np.full(len(times), np.nan) for name in names}
        pairs = list(zip(times.collective.tolist(), times.series.tolist(), strict=True))
        for collective, series in sorted(set(pairs)):
            mask = np.array([pair == (collective, series) for pair in pairs])
            part = times.filter(mask)
            known = series if series in self.seen.series else None
            guess = self._answer(measured(part), known, (len(part),))
            low, high = guess.interval(0.9)
            found = {
                "median_s": guess.median_s,
                "priced_s": guess.median_s - guess.terms.get(MISSED, 0.0),
                "low_s": low,
                "high_s": high,
            }
            for name, seconds in found.items():
                columns[name][mask] = seconds
        return Rows(**columns)

    def on(self, fabric: Fabric) -> FittedModel:
        """Carry the fitted prices to another fabric with some of the same links.

        Prices that the two share, by name, keep their fitted values and covariance;
        the others are the catalogue's. So a fit of one instance speaks for a cluster;
        what it missed on the instance stays there, and elsewhere it misses as usual.
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
            beliefs={},
            fields={},
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

    def trade_offs(self, at_least: float = 0.9) -> tuple[TradeOff, ...]:
        """List pairs of prices that the data tell apart only together.

        Args:
          at_least: correlation of the two, of either sign, from which they count.
        """
        known = self.parameters
        return trade_offs(
            known.names, self.covariance, np.asarray(known.spread), at_least
        )

    def advise(
        self, collective: str, size_bytes: float, ranks: float, **options: Any
    ) -> tuple[Suggestion, ...]:
        """Rank what to measure next; ``fabricmodel.advise`` lists the options."""
        return advise(self, collective, size_bytes, ranks, **options)


def concrete(fabric: Fabric) -> Fabric:
    """Turn the leaves back into floats and arrays of numpy."""
    return jax.tree.map(
        lambda x: float(x) if np.ndim(x) == 0 else np.asarray(x), fabric
    )
