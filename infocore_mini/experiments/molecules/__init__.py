"""Chapter 03: molecules, and the substructure vectors of Mol2vec."""
