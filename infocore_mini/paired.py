"""What the three estimators do, on paired rows of molecules and readouts: fit, embed, retrieve, score, save, load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from infocore_mini.config import Config
from infocore_mini.inputs import drug_features, is_smiles, label_codes, molecules, row_names, table_of_numbers
from infocore_mini.parameters import Method, ParameterError, explain
from infocore_mini.pretrained import Pretrained, TrainedOn
from infocore_mini.train import pretrain

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float32]


class PairedEstimator(BaseEstimator):
    """Two encoders that bring a drug and its screen readout together; base of the three methods.

    Inputs are standardised by column on the rows given to ``fit``.
    """

    method: ClassVar[Method]
    pretrained_: Pretrained
    batches_: NDArray[Any]
    n_features_in_: int

    def _keep(self, parameters: Mapping[str, Any]) -> None:
        """Keep the constructor's arguments as they came, as scikit-learn asks; ``fit`` checks them."""
        for name, value in parameters.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    def fit(self, X_drug: Any, y_screen: Any, *, batch_id: Any = None, molecule: Any = None) -> Self:
        """Train on paired rows.

        Args:
            X_drug: (n, n_d) drug features (array or table), or n SMILES (list, Series), which become Mol2vec features.
            y_screen: (n, n_g) screen readouts, row i belongs to drug row i; array, table or AnnData.
            batch_id: (n,) label of each row's experimental batch: any sortable labels. CLIP needs none.
            molecule: (n,) label of each row's molecule. Rows of one molecule are never each other's negatives;
                None = rows with equal drug features are one molecule; of SMILES, salts, tautomers and stereoisomers.

        Returns:
            self; after an error it counts as not fitted.

        Raises:
            ValueError: on NaN, row counts that differ, missing labels, or too few experimental batches.
            ParameterError: on a setting out of range; it names the setting.
        """
        for name in ("pretrained_", "batches_", "n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
        try:
            config = Config(method=self.method, **self.get_params())
        except ValidationError as error:
            raise ParameterError(explain(error)) from None
        drug, drug_names, featuriser = drug_features(X_drug)
        screen, screen_names = table_of_numbers("y_screen", y_screen)
        n = len(drug)
        if n < 2:
            raise ValueError(f"X_drug: got {n} row, expected at least 2 to contrast")
        if len(screen) != n:
            raise ValueError(f"y_screen: got {len(screen)} rows, expected {n} like X_drug")
        if batch_id is None and self.method == "clip":
            batch_id = np.zeros(n, dtype=int)
        batches, codes = label_codes("batch_id", batch_id, n)
        groups = molecules(X_drug, drug) if molecule is None else label_codes("molecule", molecule, n)[1]
        repeated = len(np.unique(groups)) < n
        trained_on = TrainedOn(
            batch_names=tuple(batches.tolist()),
            drug_features=drug_names,
            screen_features=screen_names,
            featuriser=featuriser,
            molecules=tuple(sorted(set(map(str, X_drug)))) if is_smiles(X_drug) else (),
        )
        pretrained = pretrain(drug, screen, codes, config, molecule=groups if repeated else None, standardise=True)
        pretrained.trained_on = trained_on
        return self._take(pretrained)

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

    def embed_screen(self, y_screen: Any) -> Array:
        """(n, n_g) screen readouts -> (n, embedding_dim) unit-norm z_screen.

        The columns of a table are put in the order of ``fit``. Raises ValueError where names or numbers do not fit.
        """
        check_is_fitted(self)
        names, n_screen = self.pretrained_.trained_on.screen_features, self.pretrained_.shapes.n_screen
        table, _ = table_of_numbers("y_screen", y_screen, names, n_screen)
        return np.asarray(self.pretrained_.embed_screen(table))

    def _embed_drug(self, X_drug: Any, name: str) -> Array:
        check_is_fitted(self)
        trained_on = self.pretrained_.trained_on
        if is_smiles(X_drug) and trained_on.featuriser is None:
            raise ValueError(f"{name}: got text, expected the {self.n_features_in_} features that fit was given")
        table, _, _ = drug_features(X_drug, name, trained_on.drug_features, self.n_features_in_)
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

    def score(self, X_drug: Any, y_screen: Any, batch_id: Any = None) -> float:
        """Top-1 retrieval accuracy, a fraction: how often the molecule nearest to a readout is its own.

        Args:
            X_drug, y_screen: n paired rows that were not trained on. What is one molecule is as in ``fit``; the library
                has each as its first row.
            batch_id: (n,) labels; then only molecules of the query's experimental batch are candidates.

        Raises:
            ValueError: where inputs do not fit.
        """
        from infocore_mini.evaluate.retrieval import retrieval_accuracy

        z_drug, z_screen = self.embed_drug(X_drug), self.embed_screen(y_screen)
        n = len(z_drug)
        if len(z_screen) != n:
            raise ValueError(f"y_screen: got {len(z_screen)} rows, expected {n} like X_drug")
        features, _, _ = drug_features(X_drug)
        _, first, target = np.unique(molecules(X_drug, features), return_index=True, return_inverse=True)
        if batch_id is None:
            return retrieval_accuracy(z_screen, z_drug[first], target, top=(1,))[1]
        batches, codes = label_codes("batch_id", batch_id, n)
        member = np.zeros((len(first), len(batches)), dtype=bool)
        member[target, codes] = True
        within = retrieval_accuracy(z_screen, z_drug[first], target, top=(1,), query_batch=codes, library_batch=member)
        return within[1]

    def save(self, path: str | Path) -> None:
        """Write all that embedding needs as one safetensors file (no pickle). Raises FileNotFoundError, NotFittedError."""
        check_is_fitted(self)
        self.pretrained_.save(path)

    @classmethod
    def load(cls, path: str | Path, device: str | None = None) -> Self:
        """The fitted estimator that ``save`` wrote; it embeds bit for bit as that one.

        Args:
            path: of the file.
            device: where to run; None = where it was trained if that is here, else the CPU.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is damaged, no model of ours, or that of another method.
        """
        pretrained = Pretrained.load(path, device)
        if pretrained.config.method != cls.method or pretrained.config.cell_line_heads:
            raise ValueError(
                f"path: {path} holds a model of {pretrained.config.method!r}, expected one that {cls.__name__} saved"
            )
        names = cls().get_params()
        return cls(**{name: getattr(pretrained.config, name) for name in names})._take(pretrained)
