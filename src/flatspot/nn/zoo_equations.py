"""The equations of torchrecurrent's cells, written from their papers: what the examination holds them against.

One step of one sample each. The rows of the weights stand in torchrecurrent's order; biases that a paper has once and
torchrecurrent twice are added. LightRU, SGRN and both MiRU are written from torchrecurrent's documentation.
"""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from flatspot.nn.cell import Elementwise
from flatspot.nn.examination import Equation, Weights

OneStep = Callable[[Weights, Tensor, tuple[Tensor, ...], Elementwise], tuple[Tensor, ...]]
"""Weights, input, state and activation to the next state, its output first."""

sigmoid, tanh = torch.sigmoid, torch.tanh


def equation_of(step: OneStep) -> Equation:
    """The equation of a whole sequence."""

    def equation(w: Weights, x: Tensor, state: tuple[Tensor, ...], f: Elementwise) -> list[Tensor]:
        outputs = []
        for x_t in x:
            state = step(w, x_t, state, f)
            outputs.append(state[0])
        return outputs

    return equation


def _affine(w: Weights, of: str, blocks: int, v: Tensor) -> tuple[Tensor, ...]:
    """W v + b in blocks of rows."""
    return (w[f"weight_{of}"] @ v + w[f"bias_{of}"]).chunk(blocks)


def _gates(w: Weights, blocks: int, x: Tensor, h: Tensor) -> list[Tensor]:
    """W x + b + U h + c in blocks of rows."""
    return [a + b for a, b in zip(_affine(w, "ih", blocks, x), _affine(w, "hh", blocks, h), strict=True)]


def _turned(w: Weights, h: Tensor) -> Tensor:
    """(U - Uᵀ) h."""
    return w["weight_hh"] @ h - w["weight_hh"].T @ h


def antisymmetric_rnn(w: Weights, x: Tensor, state: tuple[Tensor, ...], f: Elementwise) -> tuple[Tensor, ...]:
    """To h' = h + ε f((U - Uᵀ - gI) h + V x + b), with torchrecurrent's ε = 1 and g = 0."""
    (h,) = state
    return (h + f(_turned(w, h) + w["weight_ih"] @ x + w["bias_ih"] + w["bias_hh"]),)


def gated_antisymmetric_rnn(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """To h' = h + ε σ((U - Uᵀ) h + V_z x + b_z) tanh((U - Uᵀ) h + V x + b)."""
    (h,) = state
    gate, new = _affine(w, "ih", 2, x)
    return (h + sigmoid(_turned(w, h) + gate) * tanh(_turned(w, h) + new + w["bias_hh"]),)


def atr(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """To h' = σ(p + q) p + σ(p - q) h."""
    (h,) = state
    (p,), (q,) = _affine(w, "ih", 1, x), _affine(w, "hh", 1, h)
    return (sigmoid(p + q) * p + sigmoid(p - q) * h,)


def br(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """To h' = c h + (1 - c) tanh(U x + a h), each unit's gates a in (0, 2) and c from its own state."""
    (h,) = state
    (x_a, x_c, x_h), (w_a, w_c), (b_a, b_c) = _affine(w, "ih", 3, x), w["weight_hh"].chunk(2), w["bias_hh"].chunk(2)
    a, c = 1 + tanh(x_a + w_a * h + b_a), sigmoid(x_c + w_c * h + b_c)
    return (c * h + (1 - c) * tanh(x_h + a * h),)


def nbr(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """As br, with the gates from all units' states."""
    (h,) = state
    (x_a, x_c, x_h), (h_a, h_c) = _affine(w, "ih", 3, x), _affine(w, "hh", 2, h)
    a, c = 1 + tanh(x_a + h_a), sigmoid(x_c + h_c)
    return (c * h + (1 - c) * tanh(x_h + a * h),)


def cfn(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """To h' = θ tanh(h) + η tanh(W x)."""
    (h,) = state
    (x_t, x_e, x_h), (h_t, h_e) = _affine(w, "ih", 3, x), _affine(w, "hh", 2, h)
    return (sigmoid(x_t + h_t) * tanh(h) + sigmoid(x_e + h_e) * tanh(x_h),)


def cornn(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """To z' = z + Δt (tanh(W y + W' z + V x + b) - y - z), y' = y + Δt z'; Δt = 0.1 and both dampings 1."""
    y, z = state
    drive = sum((_affine(w, of, 1, v)[0] for of, v in (("hh", y), ("ch", z))), _affine(w, "ih", 1, x)[0])
    z = z + 0.1 * (tanh(drive) - y - z)
    return y + 0.1 * z, z


def fast_rnn(w: Weights, x: Tensor, state: tuple[Tensor, ...], f: Elementwise) -> tuple[Tensor, ...]:
    """To h' = α f(W x + U h + b) + β h."""
    (h,) = state
    return (sigmoid(w["alpha"]) * f(_gates(w, 1, x, h)[0]) + sigmoid(w["beta"]) * h,)


def fast_grnn(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """To h' = (a (1 - z) + b) tanh(W x + U h + b_h) + z h, with z = σ(W x + U h + b_z)."""
    (h,) = state
    shared = w["weight_ih"] @ x + w["weight_hh"] @ h
    b_z, b_h = (w["bias_ih"] + w["bias_hh"]).chunk(2)
    z = sigmoid(shared + b_z)
    return ((sigmoid(w["zeta"]) * (1 - z) + sigmoid(w["nu"])) * tanh(shared + b_h) + z * h,)


def ind_rnn(w: Weights, x: Tensor, state: tuple[Tensor, ...], f: Elementwise) -> tuple[Tensor, ...]:
    """To h' = f(W x + u h + b), each unit by itself."""
    (h,) = state
    return (f(w["weight_ih"] @ x + w["vector_u"] * h + w["bias_ih"] + w["bias_hh"]),)


def janet(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """To c' = σ(s) c + (1 - σ(s - β)) tanh(...), h' = c'; the paper's β is 1, torchrecurrent's starts there."""
    h, c = state
    s, new = _gates(w, 2, x, h)
    c = sigmoid(s) * c + (1 - sigmoid(s - w["beta"])) * tanh(new)
    return c, c


def lem(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """To z' = (1 - Δt) z + Δt tanh(W_z y + V_z x), y' = (1 - Δt') y + Δt' tanh(W_y z' + V_y x)."""
    y, z = state
    (x_2, x_1, x_z, x_y), (h_2, h_1, h_z) = _affine(w, "ih", 4, x), _affine(w, "hh", 3, y)
    z = (1 - sigmoid(x_1 + h_1)) * z + sigmoid(x_1 + h_1) * tanh(x_z + h_z)
    return (1 - sigmoid(x_2 + h_2)) * y + sigmoid(x_2 + h_2) * tanh(x_y + _affine(w, "ch", 1, z)[0]), z


def light_ru(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """To h' = (1 - f) h + f tanh(W x)."""
    (h,) = state
    (x_h, x_f), (h_f,) = _affine(w, "ih", 2, x), _affine(w, "hh", 1, h)
    gate = sigmoid(x_f + h_f)
    return ((1 - gate) * h + gate * tanh(x_h),)


def li_gru(w: Weights, x: Tensor, state: tuple[Tensor, ...], f: Elementwise) -> tuple[Tensor, ...]:
    """To h' = z h + (1 - z) f(W x + U h)."""
    (h,) = state
    z, new = _gates(w, 2, x, h)
    return (sigmoid(z) * h + (1 - sigmoid(z)) * f(new),)


def mgu(w: Weights, x: Tensor, state: tuple[Tensor, ...], f: Elementwise) -> tuple[Tensor, ...]:
    """To h' = (1 - z) h + z f(W x + U (z h) + b)."""
    (h,) = state
    z = sigmoid(_gates(w, 2, x, h)[0])
    return ((1 - z) * h + z * f(_gates(w, 2, x, z * h)[1]),)


def minimal_rnn(w: Weights, x: Tensor, state: tuple[Tensor, ...], f: Elementwise) -> tuple[Tensor, ...]:
    """To h' = u h + (1 - u) z, with z = f(W x) and u = σ(U h + V z + b)."""
    (h,) = state
    z = f(_affine(w, "ih", 1, x)[0])
    u = sigmoid(_affine(w, "hh", 1, h)[0] + w["weight_mm"] @ z)
    return (u * h + (1 - u) * z,)


def miru1(w: Weights, x: Tensor, state: tuple[Tensor, ...], f: Elementwise) -> tuple[Tensor, ...]:
    """To h' = λ h + (1 - λ) f(W x + U (r h)), with λ = 0.5."""
    (h,) = state
    r = sigmoid(_gates(w, 2, x, h)[0])
    return (0.5 * h + 0.5 * f(_gates(w, 2, x, r * h)[1]),)


def miru2(w: Weights, x: Tensor, state: tuple[Tensor, ...], f: Elementwise) -> tuple[Tensor, ...]:
    """To h' = λ h + (1 - λ) f(W x + U (θ h)), with λ = θ = 0.5."""
    (h,) = state
    return (0.5 * h + 0.5 * f(_gates(w, 1, x, 0.5 * h)[0]),)


def multiplicative_lstm(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """An LSTM whose gates read m = (W x) (U h) for h."""
    h, c = state
    x_m, *x_gates = _affine(w, "ih", 5, x)
    m = x_m * _affine(w, "hh", 1, h)[0]
    i, forget, new, o = (a + b for a, b in zip(x_gates, _affine(w, "mh", 4, m), strict=True))
    c = sigmoid(forget) * c + sigmoid(i) * tanh(new)
    return sigmoid(o) * tanh(c), c


def mut1(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """To h' = z tanh(U (r h) + tanh(x) + b) + (1 - z) h, with z of the input alone."""
    (h,) = state
    (x_z, x_r, x_h), (h_r, _h) = _affine(w, "ih", 3, x), _affine(w, "hh", 2, h)
    z, r = sigmoid(x_z), sigmoid(x_r + h_r)
    return (z * tanh(_affine(w, "hh", 2, r * h)[1] + tanh(x_h)) + (1 - z) * h,)


def mut2(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """To h' = z tanh(U (r h) + W x + b) + (1 - z) h."""
    (h,) = state
    z, r, _h = map(sigmoid, _gates(w, 3, x, h))
    return (z * tanh(_gates(w, 3, x, r * h)[2]) + (1 - z) * h,)


def mut3(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """As mut2, with z from tanh(h)."""
    (h,) = state
    z, r = sigmoid(_gates(w, 3, x, tanh(h))[0]), sigmoid(_gates(w, 3, x, h)[1])
    return (z * tanh(_gates(w, 3, x, r * h)[2]) + (1 - z) * h,)


def nas(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """The cell of TensorFlow's that torchrecurrent says it repeats: its fourth gate multiplies input and state."""
    h, c = state
    g = _gates(w, 8, x, h)
    product = _affine(w, "ih", 8, x)[3] * _affine(w, "hh", 8, h)[3]
    first = tanh(sigmoid(g[0]) * torch.relu(g[1]))
    second = tanh(sigmoid(g[2]) + torch.relu(product))
    third, fourth = tanh(tanh(g[4]) * sigmoid(g[5])), sigmoid(tanh(g[6]) + sigmoid(g[7]))
    c = tanh(first + c) * second
    return tanh(c * tanh(third + fourth)), c


def original_lstm(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """An LSTM that forgets nothing: c' = c + i tanh(...)."""
    h, c = state
    i, new, o = _gates(w, 3, x, h)
    c = c + sigmoid(i) * tanh(new)
    return sigmoid(o) * tanh(c), c


def peephole_lstm(w: Weights, x: Tensor, state: tuple[Tensor, ...], f: Elementwise) -> tuple[Tensor, ...]:
    """An LSTM whose gates see its own unit's c: i and f the one before, o the new one."""
    h, c = state
    i, forget, new, o = _gates(w, 4, x, h)
    p_i, p_f, p_o = w["weight_ph"].chunk(3)
    c = sigmoid(forget + p_f * c) * c + sigmoid(i + p_i * c) * f(new)
    return sigmoid(o + p_o * c) * f(c), c


def ran(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """To c' = i (W x) + f c, h' = tanh(c')."""
    h, c = state
    content, x_i, x_f = (w["weight_ih"] @ x).chunk(3)
    (h_i, h_f), (b_i, b_f) = _affine(w, "hh", 2, h), w["bias_ih"].chunk(2)
    c = sigmoid(x_i + h_i + b_i) * content + sigmoid(x_f + h_f + b_f) * c
    return tanh(c), c


def res_lstm(w: Weights, x: Tensor, state: tuple[Tensor, ...], f: Elementwise) -> tuple[Tensor, ...]:
    """A peephole LSTM with h' = o (W_p f(c') + W_h x)."""
    h, c = state
    i, forget, new, o = _gates(w, 4, x, h)
    p_i, p_f, p_o = w["weight_ph"].chunk(3)
    c = sigmoid(forget + p_f * c) * c + sigmoid(i + p_i * c) * f(new)
    return sigmoid(o + p_o * c) * (w["weight_proj"] @ f(c) + w["weight_res"] @ x), c


def scrn(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """To s' = (1 - α) B x + α s, h' = σ(P s' + A x + R h); y = tanh(U h' + V s') is the output."""
    h, s = state
    x_s, x_h = _affine(w, "ih", 2, x)
    s = (1 - w["alpha"]) * x_s + w["alpha"] * s
    h = sigmoid(_affine(w, "ch", 2, s)[0] + x_h + _affine(w, "hh", 2, h)[0])
    return h, s


def sgrn(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """To h' = tanh((1 - f) (W x + b) + f h)."""
    (h,) = state
    (x_h,) = _affine(w, "ih", 1, x)
    gate = sigmoid(x_h + _affine(w, "hh", 1, h)[0])
    return (tanh((1 - gate) * x_h + gate * h),)


def _hard_sigmoid(z: Tensor) -> Tensor:
    return (z / 6 + 0.5).clamp(0, 1)


def sgu(w: Weights, x: Tensor, state: tuple[Tensor, ...], f: Elementwise) -> tuple[Tensor, ...]:
    """To h' = (1 - z) h + z softplus(h f(W (x_g h))), with a hard sigmoid z."""
    (h,) = state
    x_g, x_z = _affine(w, "ih", 2, x)
    inner = f(_affine(w, "hh", 2, x_g * h)[0])
    z = _hard_sigmoid(x_z + _affine(w, "hh", 2, h)[1])
    return ((1 - z) * h + z * torch.log1p(torch.exp(inner * h)),)


def dsgu(w: Weights, x: Tensor, state: tuple[Tensor, ...], f: Elementwise) -> tuple[Tensor, ...]:
    """To h' = (1 - z) h + z σ(W_o (h f(W (x_g h)))), with a hard sigmoid z."""
    (h,) = state
    x_g, x_z = _affine(w, "ih", 2, x)
    inner = f(_affine(w, "hh", 2, x_g * h)[0])
    z = _hard_sigmoid(x_z + _affine(w, "hh", 2, h)[1])
    return ((1 - z) * h + z * sigmoid(w["weight_ho"] @ (inner * h)),)


def star(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """To h' = tanh((1 - k) h + k tanh(W x))."""
    (h,) = state
    (x_h, x_k), (h_k,) = _affine(w, "ih", 2, x), _affine(w, "hh", 1, h)
    k = sigmoid(x_k + h_k)
    return (tanh((1 - k) * h + k * tanh(x_h)),)


def tau_gru(w: Weights, x: Tensor, state: tuple[Tensor, ...], f: Elementwise) -> tuple[Tensor, ...]:
    """To h' = (1 - g) h + g (u + a z), with z of the state of some steps ago; here, at the least, of this one."""
    (h,) = state
    u, z, g, a = _gates(w, 4, x, h)
    return ((1 - sigmoid(g)) * h + sigmoid(g) * (f(u) + sigmoid(a) * f(z)),)


def trnn(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """To h' = f h + (1 - f) W x, with the gate of the input alone."""
    (h,) = state
    new, gate = _affine(w, "ih", 2, x)
    return (sigmoid(gate) * h + (1 - sigmoid(gate)) * new,)


def ugrnn(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """To h' = g h + (1 - g) tanh(W x + U h + b)."""
    (h,) = state
    new, gate = _gates(w, 2, x, h)
    return (sigmoid(gate) * h + (1 - sigmoid(gate)) * tanh(new),)


def unicornn(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """To z' = z - Δt σ(c) (tanh(w y + V x + b) + α y), y' = y + Δt σ(c) z'; Δt = 0.1, α = 0."""
    y, z = state
    pace = 0.1 * sigmoid(w["weight_ch"])
    z = z - pace * tanh(w["weight_hh"] * y + _affine(w, "ih", 1, x)[0])
    return y + pace * z, z


def wmc_lstm(w: Weights, x: Tensor, state: tuple[Tensor, ...], _: Elementwise) -> tuple[Tensor, ...]:
    """An LSTM whose gates see tanh(W c): i and f the c before, o the new one."""
    h, c = state
    i, forget, new, o = _gates(w, 4, x, h)
    c_i, c_f, _c = map(tanh, _affine(w, "mh", 3, c))
    c = sigmoid(forget + c_f) * c + sigmoid(i + c_i) * tanh(new)
    return sigmoid(o + tanh(_affine(w, "mh", 3, c)[2])) * tanh(c), c


STEPS: Final = (
    antisymmetric_rnn, gated_antisymmetric_rnn, atr, br, nbr, cfn, cornn, fast_rnn, fast_grnn, ind_rnn, janet, lem,
    light_ru, li_gru, mgu, minimal_rnn, miru1, miru2, multiplicative_lstm, mut1, mut2, mut3, nas, original_lstm,
    peephole_lstm, ran, res_lstm, scrn, sgrn, sgu, dsgu, star, tau_gru, trnn, ugrnn, unicornn, wmc_lstm,
)  # fmt: skip

ZOO_EQUATIONS: Final[dict[str, Equation]] = {step.__name__.replace("_", ""): equation_of(step) for step in STEPS}
"""By the cell's name."""
