"""Price: dollars of a million tokens and of a run; where two platforms break even."""

from __future__ import annotations

import dataclasses

from fabricmodel.catalog.chips import Chip
from fabricmodel.errors import FabricError
from fabricmodel.training.numeric import Numeric


@dataclasses.dataclass(frozen=True, kw_only=True)
class PriceList:
    """What an hour of a chip costs, and from which list that is.

    Attributes:
      name: for people: ``on demand, 2026-11``.
      usd_per_hour: of one chip with its share of the host.
      energy_usd_per_kWh: paid on top; 0 where it is inside, as in every cloud.
    """

    name: str
    usd_per_hour: float
    energy_usd_per_kWh: float = 0.0


def price_list(chip: Chip, kind: str) -> PriceList:
    """Newest price of a kind (``on_demand reserved capacity_block spot``) of a chip.

    Raises:
      FabricError: where none is listed, with the kinds that are.

    >>> from fabricmodel.catalog.chips import load_chip
    >>> price_list(load_chip("trn2"), "capacity_block").usd_per_hour
    2.235
    """
    for each in chip.prices:
        if each.kind == kind:
            return PriceList(
                name=f"{each.offer}, {each.date}", usd_per_hour=each.usd_per_hour
            )
    kinds = sorted({each.kind for each in chip.prices})
    raise FabricError(
        "price",
        f"no {kind!r} price of {chip.name} is listed",
        f"Use one of {', '.join(kinds)}" if kinds else "Give one with --price",
    )


def usd_per_million_tokens(
    price: PriceList,
    tokens_per_s_chip: Numeric,
    *,
    goodput: Numeric = 1.0,
    joules_per_token: Numeric = 0.0,
) -> Numeric:
    """Dollars for a million trained tokens.

    1e6 (hour price / 3600 / (tokens per second and chip x goodput) + energy price x
    joules / 3.6e6).

    >>> h100 = PriceList(name="p5 on demand", usd_per_hour=6.88)
    >>> f"{usd_per_million_tokens(h100, 1121.0):.2f}"
    '1.70'
    """
    rent = price.usd_per_hour / 3600.0 / (tokens_per_s_chip * goodput)
    energy = price.energy_usd_per_kWh * joules_per_token / 3.6e6
    return 1e6 * (rent + energy)


def usd_of_run(usd_per_million: Numeric, tokens: float) -> Numeric:
    """Dollars of a training run.

    >>> usd_of_run(1.70, 15e12)
    25500000.0
    """
    return usd_per_million * tokens / 1e6


def break_even_price(
    other_usd_per_hour: Numeric,
    other_tokens_per_s_chip: Numeric,
    tokens_per_s_chip: Numeric,
    *,
    saving: float = 0.0,
) -> Numeric:
    """Hour price below which a chip is cheaper by ``saving`` than another.

    >>> round(break_even_price(6.88, 1121.0, 560.5, saving=0.4), 3)
    2.064
    """
    return (
        (1.0 - saving)
        * other_usd_per_hour
        * (tokens_per_s_chip / other_tokens_per_s_chip)
    )


def break_even_utilisation(
    usd_per_hour: Numeric,
    peak_flops: Numeric,
    other_usd_per_hour: Numeric,
    other_peak_flops: Numeric,
    other_utilisation: Numeric,
    *,
    saving: float = 0.0,
) -> Numeric:
    """Utilisation of peak above which a chip is cheaper by ``saving`` than another.

    m = m_other (price / price_other) (peak_other / peak) / (1 - saving).

    >>> f"{break_even_utilisation(2.235, 667e12, 4.916, 989e12, 0.48, saving=0.4):.2f}"
    '0.54'
    """
    dear = usd_per_hour / other_usd_per_hour
    return other_utilisation * dear * (other_peak_flops / peak_flops) / (1.0 - saving)
