"""scikit-learn estimators: CLIP, CCL and InfoCORE on a paired screen, one base and three names."""

from __future__ import annotations

from dataclasses import fields
from inspect import Parameter, Signature

import numpy as np
import torch
from pydantic import ValidationError
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from infocore_mini.config import Config
from infocore_mini.parameters import ParameterError, explain
from infocore_mini.train import pretrain
from infocore_mini.validation import as_matrix

_INFOCORE_ONLY = (
    "alpha",
    "gradient_scale",
    "mixture",
    "hidden_classifier",
    "classifier_learning_rate",
    "classifier_steps",
    "classifier_momentum",
)
_METHOD_ONLY = ("method", "sampling", *_INFOCORE_ONLY)
_SCREEN_ONLY = ("cell_line_heads", "head_warmup_epochs", "mixup_concentration", "clip_drug", "clip_screen")


class _PairedScreenEstimator(BaseEstimator):
    """Fits two encoders that bring a drug and its screen readout together.

    Inputs are standardised by column on the rows given to ``fit``. Settings are those of
    ``infocore_mini.config.Config``; view a is the drug, view b the screen.

    Attributes after ``fit``:
        pretrained_: the trained ``Pretrained`` model, with its loss ``history``.
        batches_: sorted labels of the experimental batches; a code is a position in it.
        drug_scaler_, screen_scaler_: the fitted scalers.
    """

    _method: str
    _defaults: dict

    def __init_subclass__(cls, *, method: str, own: tuple[str, ...] = ()) -> None:
        """The constructor takes ``Config``'s fields, less those that only another method reads."""
        super().__init_subclass__()
        cls._method = method
        cls._defaults = {
            f.name: f.default for f in fields(Config) if f.name in own or f.name not in _METHOD_ONLY + _SCREEN_ONLY
        }
        parameters = [Parameter(name, Parameter.KEYWORD_ONLY, default=value) for name, value in cls._defaults.items()]
        cls.__signature__ = Signature(parameters)

    def __init__(self, **settings) -> None:
        unknown = sorted(set(settings) - set(self._defaults))
        if unknown:
            raise TypeError(
                f"unknown parameter {unknown[0]}; {type(self).__name__} takes {', '.join(sorted(self._defaults))}"
            )
        for name, value in (self._defaults | settings).items():
            setattr(self, name, value)

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return sorted(cls._defaults)

    def fit(self, X_drug, y_screen, *, batch_id):
        """Train on paired rows.

        Args:
            X_drug: (n, n_d) drug features.
            y_screen: (n, n_g) screen readouts, row i belongs to drug row i.
            batch_id: (n,) label of each row's experimental batch: any sortable labels.

        Returns:
            self.

        Raises:
            ValueError: on NaN, row counts that differ, or too few experimental batches for the method.
            ParameterError: on a setting out of range; it names the setting.
        """
        try:
            config = Config(method=self._method, **self.get_params())
        except ValidationError as error:
            raise ParameterError(explain(error)) from None
        drug, screen = _table("X_drug", X_drug), _table("y_screen", y_screen)
        batch_id = np.asarray(batch_id)
        if batch_id.shape != (len(drug),):
            raise ValueError(f"batch_id: got shape {batch_id.shape}, expected ({len(drug)},) like the rows of X_drug")
        self.batches_, codes = np.unique(batch_id, return_inverse=True)
        self.drug_scaler_, self.screen_scaler_ = StandardScaler().fit(drug), StandardScaler().fit(screen)
        self.pretrained_ = pretrain(
            self.drug_scaler_.transform(drug), self.screen_scaler_.transform(screen), codes, config
        )
        return self

    def embed_drug(self, X_drug) -> np.ndarray:
        """(n, n_d) drug features -> (n, embedding_dim) unit-norm z_drug."""
        check_is_fitted(self)
        return self.pretrained_.embed_drug(self.drug_scaler_.transform(_table("X_drug", X_drug))).numpy()

    def embed_screen(self, y_screen) -> np.ndarray:
        """(n, n_g) screen readouts -> (n, embedding_dim) unit-norm z_screen."""
        check_is_fitted(self)
        return self.pretrained_.embed_screen(self.screen_scaler_.transform(_table("y_screen", y_screen))).numpy()


class CLIP(_PairedScreenEstimator, method="clip"):
    """Multimodal contrast that ignores the experimental batch (Radford et al. 2021)."""


class CCL(_PairedScreenEstimator, method="ccl", own=("sampling",)):
    """Contrast within the anchor's experimental batch only (Ma et al. 2021).

    With many experimental batches set ``sampling="one_batch"``: a random minibatch would hold too few
    rows of the anchor's own.
    """


class InfoCORE(_PairedScreenEstimator, method="infocore", own=_INFOCORE_ONLY):
    """Contrast reweighted by batch posteriors (proposition 2): the experimental batch stops paying off.

    ``alpha`` weighs the anchor's own posterior, 1 = CLIP; ``gradient_scale`` is lambda of appendix D.
    """


def _table(name: str, value) -> np.ndarray:
    return as_matrix(name, value, dtype=torch.float64).numpy()
