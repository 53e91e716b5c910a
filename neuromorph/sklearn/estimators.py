"""The four estimators that users import."""

from __future__ import annotations

from .classifier import Classifying
from .regressor import Regressing


class MDLClassifier(Classifying):
    """A classifier of vectors, X (n, W), whose network is a text.

    mdl: the text of a model, or the path of a file of one. In it, ``$inputs`` stands for the number of features, and
    ``$outputs`` for the number of outputs: that of classes, or 1 for two classes with ``binary_cross_entropy`` or
    ``hinge``. None means a hidden layer of ``$hidden`` units, by default 100, between ``standardize`` and a softmax.
    widths: numbers for other names with $, such as ``{"hidden": 64}`` for ``$hidden``, for searches over sizes.

    batch_size: samples of an update; the last batch of an epoch is filled up with samples of weight 0. learning_rate:
    None means 0.1 for SGD and 0.01 for the others. optimizer, clip_norm, frozen, tier: as in ``neuromorph.compile``.
    alpha: regularisation. Where optimizer is "adam" or "adamw", it is ``AdamW`` with a weight decay of alpha divided by
    the number of samples, or by the sum of their weights, at most 1; ``partial_fit`` counts those of all calls. epochs:
    passes over the data. dtype: "float32", "float64", or None for that of X. threads: the most threads; None means one
    in a worker of joblib, and elsewhere as many as pay. adapt: whether means and scales of ``standardize`` and
    ``restore`` are set from the data when a network is made. shuffle: whether each epoch has a new order.

    early_stopping: whether ``validation_fraction`` of the samples is held out, with each class's share where that is
    possible; training ends after ``n_iter_no_change`` epochs in which their loss did not fall by more than ``tol``, and
    the network gets the parameters of the best epoch. class_weight: a dict of labels and weights, "balanced", or None.
    warm_start: whether ``fit`` goes on with the network that is there. callbacks: as in ``Model.fit``; each fit uses
    copies. verbose: whether a bar is shown. random_state: decides first parameters, order, and what is held out: a
    whole number gives the same results at each fit. None takes numbers of ``numpy.random``.

    Labels may be any hashable values. ``classes_`` has them in ascending order, or if they can't be compared in the
    order of their types and texts. Attributes: ``model_``, the trained ``neuromorph.Model``; ``loss_curve_`` and
    ``validation_loss_curve_``, the mean loss of each epoch; ``n_iter_``, the number of epochs; ``history_``, the record
    of the last call; ``n_features_in_``, ``feature_names_in_``.
    """


class MDLRegressor(Regressing):
    """A regressor of vectors, X (n, W), for y (n,) or (n, k), whose network is a text.

    The parameters and attributes are those of ``MDLClassifier``, without class_weight. ``$outputs`` stands for the
    number of columns of y. Without mdl, there is a hidden layer of ``$hidden`` units, by default 100, between
    ``standardize`` and an output with ``restore``, so that neither X nor y needs scaling.
    """


class MDLSequenceClassifier(Classifying):
    """A classifier of sequences, or of each of their steps, whose network is a text.

    X: (n, S, W), n sequences of S steps with W features; or a list of arrays (S_i, W) of any lengths. A table (n, S) is
    n sequences of S numbers, and W is 1. y: (n,), a label for each sequence, which the network gives at its last step;
    or a label for every step: (n, S), or a list of lists or arrays (S_i,). Then ``predict`` gives labels, and
    ``predict_proba`` probabilities, of every step too, and sample_weight may be (n,), (n, S) or a list.

    The parameters and attributes are those of ``MDLClassifier``. Without mdl, there is a ``gru`` of ``$hidden`` units,
    by default 32, between ``standardize`` and a softmax. batch_size: sequences of an update.
    """

    _sequences = True


class MDLSequenceRegressor(Regressing):
    """A regressor of sequences, or of each of their steps, whose network is a text.

    X: as for ``MDLSequenceClassifier``. y: (n,) or (n, k), the targets of each sequence, which the network gives at its
    last step; or those of every step: (n, S, k), or a list of arrays (S_i, k). Then ``predict`` gives results of every
    step too, and sample_weight may be (n,), (n, S) or a list.

    The parameters and attributes are those of ``MDLRegressor``. Without mdl, there is a ``gru`` of ``$hidden`` units,
    by default 32, between ``standardize`` and an output with ``restore``. batch_size: sequences of an update.
    """

    _sequences = True
