"""Readers of real screens: each gives a `PairedScreen` that also lists what it left out."""

from .cell_painting import read_bbbc021, read_bbbc021_wells, read_comas, read_profiles
from .exchange import from_anndata, read_h5ad, read_parquet, to_anndata, write_parquet
from .l1000 import read_l1000, read_l1000_release, read_l1000_wells
from .toxcast import campaigns, read_toxcast
from .wells import ReadError, ReadScreen, Wells

__all__ = [
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
    "read_toxcast",
    "to_anndata",
    "write_parquet",
]
