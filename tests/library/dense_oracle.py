"""The losses written out naively, (n, m, n_B) tensor and all: what the scalable forms must equal."""

import torch


def dense_weights(log_anchor, log_candidate, alpha, mixture, log_prior=None):
    """log w_ij(b), (n, m, n_B), of propositions 2 and 3."""
    own, other = log_anchor[:, None, :], log_candidate[None, :, :]
    if mixture == "arithmetic":
        return torch.log(alpha * own.exp() + (1 - alpha) * other.exp())
    if log_prior is None:
        mixed = alpha * own + (1 - alpha) * other
    else:
        s, t = min(1, 2 * alpha), min(1, 2 * (1 - alpha))
        mixed = log_prior + s * (own - log_prior) + t * (other - log_prior)
    return mixed - mixed.logsumexp(2, keepdim=True)


def scaled(value, gradient_scale):
    return gradient_scale * value + (1 - gradient_scale) * value.detach()


def dense_info_nce(
    similarity, positive, batch_id, log_anchor, log_candidate, *, alpha, gradient_scale, mixture, log_prior=None
):
    """Directional loss, (n,), by definition: sum_b y_ib (log sum_j w_ij(b) e^f_ij - f_i,positive)."""
    n_batches = log_anchor.shape[1]
    label = torch.nn.functional.one_hot(batch_id, n_batches).to(similarity) if batch_id.ndim == 1 else batch_id
    log_weight = dense_weights(
        scaled(log_anchor, gradient_scale), scaled(log_candidate, gradient_scale), alpha, mixture, log_prior
    )
    log_total = (similarity[:, :, None] + log_weight).logsumexp(1)
    return (label * log_total).sum(1) - similarity[torch.arange(len(similarity)), positive]


def dense_infocore(z_a, z_b, batch_id, log_a, log_b, *, temperature, **settings):
    similarity, positive = z_a @ z_b.T / temperature, torch.arange(len(z_a))
    forward = dense_info_nce(similarity, positive, batch_id, log_a, log_b, **settings)
    backward = dense_info_nce(similarity.T, positive, batch_id, log_b, log_a, **settings)
    return (forward.mean() + backward.mean()) / 2


def loop_clip(z_a, z_b, temperature, batch_id=None):
    """CLIP, and CCL where ``batch_id`` is given, as the plainest double loop."""
    total = 0.0
    for anchors, others in ((z_a, z_b), (z_b, z_a)):
        for i, anchor in enumerate(anchors):
            pairs = [j for j in range(len(others)) if batch_id is None or batch_id[i] == batch_id[j]]
            f = torch.stack([anchor @ others[j] / temperature for j in pairs])
            total = total + f.logsumexp(0) - f[pairs.index(i)]
    return total / (2 * len(z_a))


def loop_kernel_clip(z_a, z_b, temperature, batch_id, kernel):
    """CLIP whose candidate j counts k(b_i, b_j) times for anchor i, as the plainest double loop."""
    total = 0.0
    for anchors, others in ((z_a, z_b), (z_b, z_a)):
        for i, anchor in enumerate(anchors):
            f = [anchor @ other / temperature for other in others]
            weighed = sum(kernel[batch_id[i], batch_id[j]] * f[j].exp() for j in range(len(others)))
            total = total + weighed.log() - f[i]
    return total / (2 * len(z_a))


def loop_hsic(z, *labels):
    """Normalised HSIC with H and the kernels written out."""
    n = len(z)
    of_z, of_batch = torch.zeros(2, n, n, dtype=z.dtype)
    for i in range(n):
        for j in range(n):
            of_z[i, j] = torch.exp(-((z[i] - z[j]) ** 2).sum() / 2)
            of_batch[i, j] = sum(float(label[i] == label[j]) for label in labels)
    centre = torch.eye(n, dtype=z.dtype) - 1 / n

    def hsic(k, other):
        return torch.trace(k @ centre @ other @ centre)

    return hsic(of_z, of_batch) / (hsic(of_z, of_z) * hsic(of_batch, of_batch)).sqrt()
