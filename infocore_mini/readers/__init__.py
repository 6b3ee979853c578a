"""Readers of real screens, each of which gives a `PairedScreen`, and of property benchmarks; all list what they left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infocore_mini.lazy import attach

if TYPE_CHECKING:
    from .behaviour import read_zebrafish
    from .cell_painting import read_bbbc021, read_bbbc021_wells, read_comas
    from .connectivity_map import read_connectivity_map, read_connectivity_map_wells
    from .exchange import from_anndata, read_parquet, to_anndata, write_parquet
    from .fairness import read_fairness_table
    from .growth import read_yeast_growth
    from .h5ad import read_h5ad
    from .injury import read_injury, read_injury_wells
    from .l1000 import read_l1000, read_l1000_release, read_l1000_wells
    from .lincs import read_lincs_pilot_wells
    from .profiles import read_profiles
    from .property import PROPERTY_SETS, PropertySet, read_property
    from .tables import ReadError
    from .toxcast import campaigns, read_toxcast
    from .wells import ReadScreen, Wells

_HOME = {
    "PROPERTY_SETS": "property",
    "PropertySet": "property",
    "ReadError": "tables",
    "ReadScreen": "wells",
    "Wells": "wells",
    "campaigns": "toxcast",
    "from_anndata": "exchange",
    "read_bbbc021": "cell_painting",
    "read_bbbc021_wells": "cell_painting",
    "read_comas": "cell_painting",
    "read_connectivity_map": "connectivity_map",
    "read_connectivity_map_wells": "connectivity_map",
    "read_fairness_table": "fairness",
    "read_h5ad": "h5ad",
    "read_injury": "injury",
    "read_injury_wells": "injury",
    "read_l1000": "l1000",
    "read_l1000_release": "l1000",
    "read_l1000_wells": "l1000",
    "read_lincs_pilot_wells": "lincs",
    "read_parquet": "exchange",
    "read_profiles": "profiles",
    "read_property": "property",
    "read_toxcast": "toxcast",
    "read_yeast_growth": "growth",
    "read_zebrafish": "behaviour",
    "to_anndata": "exchange",
    "write_parquet": "exchange",
}
__all__ = [
    "PROPERTY_SETS",
    "PropertySet",
    "ReadError",
    "ReadScreen",
    "Wells",
    "campaigns",
    "from_anndata",
    "read_bbbc021",
    "read_bbbc021_wells",
    "read_comas",
    "read_connectivity_map",
    "read_connectivity_map_wells",
    "read_fairness_table",
    "read_h5ad",
    "read_injury",
    "read_injury_wells",
    "read_l1000",
    "read_l1000_release",
    "read_l1000_wells",
    "read_lincs_pilot_wells",
    "read_parquet",
    "read_profiles",
    "read_property",
    "read_toxcast",
    "read_yeast_growth",
    "read_zebrafish",
    "to_anndata",
    "write_parquet",
]

__getattr__, __dir__ = attach(__name__, _HOME)
