"""Readers of real screens, each of which gives a `PairedScreen`, and of property benchmarks; all list what they left out."""

from .cell_painting import read_bbbc021, read_bbbc021_wells, read_comas, read_profiles
from .exchange import from_anndata, read_h5ad, read_parquet, to_anndata, write_parquet
from .l1000 import read_l1000, read_l1000_release, read_l1000_wells
from .property import PROPERTY_SETS, PropertySet, read_property
from .toxcast import campaigns, read_toxcast
from .wells import ReadError, ReadScreen, Wells

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
    "read_h5ad",
    "read_l1000",
    "read_l1000_release",
    "read_l1000_wells",
    "read_parquet",
    "read_profiles",
    "read_property",
    "read_toxcast",
    "to_anndata",
    "write_parquet",
]
