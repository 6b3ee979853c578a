"""What the three estimators do, on paired rows of molecules and readouts: fit, embed, retrieve, score, save, load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from infocore_mini.config import Config, EpochChoice
from infocore_mini.inputs import (
    apart_by_molecule,
    drug_features,
    is_smiles,
    label_codes,
    level_labels,
    molecules,
    readouts,
    row_names,
)
from infocore_mini.parameters import Method, ParameterError, explain
from infocore_mini.pretrained import Pretrained, TrainedOn
from infocore_mini.train import pretrain
from infocore_mini.validation import require

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.utils import Tags

Array = NDArray[np.float32]


class PairedEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Two encoders that bring a drug and its screen readout together; base of the three methods.

    Inputs are standardised by column on the rows that ``fit`` trains on. To scikit-learn it is a transformer of drugs
    whose y is the readout. With metadata routing enabled, ``fit`` and ``score`` ask for ``batch_id`` and ``molecule``
    without a request being set, ``fit`` also for ``nuisance``, of which a table is cut by rows.
    """

    # The first two arguments are X and y by other names; what else there is comes along, row by row, where it is given.
    __metadata_request__score = {"X_drug": UNUSED, "y_screen": UNUSED, "batch_id": True, "molecule": True}
    __metadata_request__fit = __metadata_request__score | {"nuisance": True}
    __metadata_request__score["sample_weight"] = None  # which Pipeline.score always names

    method: ClassVar[Method]
    validation_fraction: float
    patience: int | None
    verbose: bool
    pretrained_: Pretrained
    batches_: NDArray[Any]
    n_features_in_: int

    def _keep(self, parameters: Mapping[str, Any]) -> None:
        """Keep the constructor's arguments as they came, as scikit-learn asks; ``fit`` checks them."""
        for name, value in parameters.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    def __sklearn_tags__(self) -> Tags:
        """What scikit-learn may expect: a readout of several columns beside every drug, sparse features, float32 out."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = tags.target_tags.multi_output = True
        if tags.transformer_tags is not None:
            tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def fit(
        self, X_drug: Any, y_screen: Any, *, batch_id: Any = None, molecule: Any = None, nuisance: Any = None
    ) -> Self:
        """Train on paired rows.

        Args:
            X_drug: (n, n_d) drug features (array, table or sparse matrix, which is made dense), or n SMILES (list,
                Series), which become Mol2vec features.
            y_screen: (n, n_g) screen readouts, row i belongs to drug row i; array, table, sparse matrix or AnnData.
            batch_id: (n,) label of each row's experimental batch: any sortable labels. CLIP needs none.
            molecule: (n,) label of each row's molecule. Rows of one molecule are never each other's negatives;
                None = rows with equal drug features are one molecule; of SMILES, salts, tautomers and stereoisomers.
            nuisance: what must not be learnt either: table, or mapping of names to (n,) labels, such as ``{"day": day}``,
                or to (n, levels) shares that sum to 1. A number becomes labels by ``nuisance.binned``. InfoCORE weighs
                pairs by the product of all posteriors, a classifier each; CCL's negatives share every label.

        Returns:
            self; after an error it counts as not fitted.

        Raises:
            ValueError: on NaN, row counts that differ, missing labels, too few experimental batches, or too few molecules
                to hold some out.
            ParameterError: on a setting out of range; it names the setting.
        """
        for name in ("pretrained_", "batches_", "n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
        config, choice = self._settings()
        drug, drug_names, featuriser = drug_features(X_drug)
        expected = f"readouts: {type(self).__name__} requires y to be passed, but the target y is None"
        require(y_screen is not None, "y_screen", None, expected)
        screen, screen_names = readouts(y_screen)
        n = len(drug)
        require(n >= 2, "X_drug", f"{n} row (n_samples = {n})", "at least 2 to contrast")
        if len(screen) != n:
            raise ValueError(f"y_screen: got {len(screen)} rows, expected {n} like X_drug")
        without = batch_id is None and self.method == "clip"
        batches, codes = label_codes("batch_id", np.zeros(n, dtype=int) if without else batch_id, n)
        groups = molecules(X_drug) if molecule is None else label_codes("molecule", molecule, n)[1]
        given = {} if nuisance is None else nuisance
        further = {name: level_labels(name, labels, n) for name, labels in given.items()}
        rows, held_out = apart_by_molecule(groups, choice.validation_fraction, config.seed)
        repeated = len(np.unique(groups[rows])) < len(groups[rows])
        trained_on = TrainedOn(
            batch_names=tuple(batches.tolist()),
            drug_features=drug_names,
            screen_features=screen_names,
            featuriser=featuriser,
            molecules=tuple(sorted(set(map(str, np.asarray(X_drug)[rows])))) if is_smiles(X_drug) else (),
            epoch_choice=choice,
            nuisances=tuple(map(str, further)),
        )
        validation = drug[held_out], screen[held_out], groups[held_out], None if without else codes[held_out]
        pretrained = pretrain(
            drug[rows],
            screen[rows],
            codes[rows],
            config,
            molecule=groups[rows] if repeated else None,
            nuisance={name: labels[rows] for name, labels in further.items()},
            standardise=True,
            score=partial(_validation_score, *validation) if len(held_out) else None,
            patience=choice.patience,
            progress=bool(self.verbose),
        )
        pretrained.trained_on = trained_on
        return self._take(pretrained)

    def _settings(self) -> tuple[Config, EpochChoice]:
        """The parameters, checked."""
        settings = self.get_params()
        choice = {field.name: settings.pop(field.name) for field in fields(EpochChoice)}
        verbose = settings.pop("verbose")
        require(isinstance(verbose, bool | np.bool_), "verbose", repr(verbose), "True or False")
        try:
            return Config(method=self.method, **settings), EpochChoice(**choice)
        except ValidationError as error:
            raise ParameterError(explain(error)) from None

    def _take(self, pretrained: Pretrained) -> Self:
        """Become fitted with a trained model."""
        self.pretrained_, self.n_features_in_ = pretrained, pretrained.shapes.n_drug
        self.batches_ = np.array(pretrained.trained_on.batch_names)
        if pretrained.trained_on.drug_features:
            self.feature_names_in_ = np.array(pretrained.trained_on.drug_features, dtype=object)
        return self

    def embed_drug(self, X_drug: Any) -> Array:
        """(n, n_d) drug features, or n SMILES if it was fitted on SMILES -> (n, embedding_dim) unit-norm z_drug.

        The columns of a table are put in the order of ``fit``. Raises ValueError where names or numbers do not fit.
        """
        return self._embed_drug(X_drug, "X_drug")

    def transform(self, X: Any) -> Array:
        """``embed_drug`` by the name that scikit-learn calls; ``set_output`` makes a table of what it returns."""
        return self._embed_drug(X, "X_drug")

    @property
    def _n_features_out(self) -> int:
        """For ``get_feature_names_out``: infocore0, infocore1, ..."""
        return self.pretrained_.config.embedding_dim

    def embed_screen(self, y_screen: Any) -> Array:
        """(n, n_g) screen readouts -> (n, embedding_dim) unit-norm z_screen.

        The columns of a table are put in the order of ``fit``. Raises ValueError where names or numbers do not fit.
        """
        check_is_fitted(self)
        names, n_screen = self.pretrained_.trained_on.screen_features, self.pretrained_.shapes.n_screen
        table, _ = readouts(y_screen, names, n_screen)
        return np.asarray(self.pretrained_.embed_screen(table))

    def _embed_drug(self, X_drug: Any, name: str) -> Array:
        check_is_fitted(self)
        trained_on = self.pretrained_.trained_on
        if is_smiles(X_drug) and trained_on.featuriser is None:
            raise ValueError(f"{name}: got text, expected the {self.n_features_in_} features that fit was given")
        table, _, _ = drug_features(X_drug, name, trained_on.drug_features, trained_on.featuriser or "mol2vec")
        n, n_expected = table.shape[1], self.n_features_in_
        says = f"X has {n} features, but {type(self).__name__} is expecting {n_expected} features as input"
        require(n == n_expected, name, f"shape {table.shape}", f"(n, {n_expected}): {says}")
        return np.asarray(self.pretrained_.embed_drug(table))

    def retrieve(self, y_screen: Any, library: Any, *, top: int = 10) -> pd.DataFrame:
        """The molecules of a library that fit each readout best.

        Args:
            y_screen: (n, n_g) readouts.
            library: (m, n_d) drug features, or m SMILES if it was fitted on SMILES.
            top: molecules for each readout.

        Returns:
            A row for each query and rank: query and molecule (labels of a table's rows, SMILES, else row numbers),
            rank from 1, cosine.

        Raises:
            ValueError: where inputs do not fit, or top is outside 1..m.
        """
        import pandas as pd

        from infocore_mini.evaluate.ranking import nearest

        z_screen, z_library = self.embed_screen(y_screen), self._embed_drug(library, "library")
        m = len(z_library)
        if isinstance(top, bool) or not isinstance(top, int | np.integer) or not 1 <= top <= m:
            raise ValueError(f"top: got {top!r}, expected 1 to {m}, the molecules of the library")
        found, cosine = nearest(z_screen, z_library, n=int(top))
        return pd.DataFrame(
            {
                "query": np.repeat(row_names(y_screen, len(z_screen)), top),
                "rank": np.tile(np.arange(1, top + 1), len(z_screen)),
                "molecule": row_names(library, m)[found.ravel()],
                "cosine": cosine.ravel(),
            }
        )

    def score(self, X_drug: Any, y_screen: Any, batch_id: Any = None, molecule: Any = None) -> float:
        """Top-1 retrieval accuracy, a fraction: how often the molecule nearest to a readout is its own.

        Args:
            X_drug, y_screen: n paired rows that were not trained on. The library has each molecule as its first row.
            batch_id: (n,) labels, also of batches that are new; then only molecules of the query's experimental batch
                are candidates.
            molecule: (n,) label of each row's molecule; None = as in ``fit``.

        Raises:
            ValueError: where inputs do not fit.
        """
        from infocore_mini.evaluate.retrieval import paired_retrieval

        z_drug, z_screen = self.embed_drug(X_drug), self.embed_screen(y_screen)
        n = len(z_drug)
        if len(z_screen) != n:
            raise ValueError(f"y_screen: got {len(z_screen)} rows, expected {n} like X_drug")
        groups = molecules(X_drug) if molecule is None else label_codes("molecule", molecule, n)[1]
        codes = None if batch_id is None else label_codes("batch_id", batch_id, n)[1]
        return paired_retrieval(z_screen, z_drug, groups, top=(1,), batch_id=codes)[1]

    def save(self, path: str | Path) -> None:
        """Write all that embedding needs as one safetensors file (no pickle). Raises FileNotFoundError, NotFittedError."""
        check_is_fitted(self)
        self.pretrained_.save(path)

    @classmethod
    def load(cls, path: str | Path, device: str | None = None) -> Self:
        """The fitted estimator that ``save`` wrote; it embeds bit for bit as that one.

        Args:
            path: of the file, or the name of a trained model, such as "comas", where there is no such file.
            device: where to run; None = where it was trained if that is here, else the CPU.

        Raises:
            FileNotFoundError: if there is no such file or model; it lists the names.
            DataUnavailable: if a named model cannot be had.
            ValueError: if it is damaged, no model of ours, or that of another method.
        """
        pretrained = Pretrained.load(path, device)
        if pretrained.config.method != cls.method or pretrained.config.cell_line_heads:
            raise ValueError(
                f"path: {path} holds a model of {pretrained.config.method!r}, expected one that {cls.__name__} saved"
            )
        kept = asdict(pretrained.config) | asdict(pretrained.trained_on.epoch_choice)
        return cls(**{name: kept[name] for name in cls().get_params() if name in kept})._take(pretrained)


def _validation_score(
    drug: NDArray[np.float64],
    screen: NDArray[np.float64],
    molecule: NDArray[np.int64],
    batch_id: NDArray[np.int64] | None,
    model: Pretrained,
) -> float:
    """As ``train.retrieval_score``: mean over libraries (whole and, with batches, batch) and top 1, 5, 10."""
    from infocore_mini.evaluate.retrieval import paired_retrieval  # here, since it loads pandas

    z_screen, z_drug = model.embed_screen(screen).numpy(), model.embed_drug(drug).numpy()
    libraries = (None,) if batch_id is None else (None, batch_id)
    found = [paired_retrieval(z_screen, z_drug, molecule, batch_id=labels) for labels in libraries]
    return float(np.mean([list(accuracy.values()) for accuracy in found]))
