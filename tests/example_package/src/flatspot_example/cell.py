"""The minimal gated unit (Zhou et al. 2016): one gate, which forgets and resets."""

import torch

from flatspot.nn.cell import Cell


def step(from_input, from_state, state, activation, norm):
    x_f, x_n = from_input.chunk(2, dim=-1)
    h_f, h_n = from_state.chunk(2, dim=-1)
    forget = norm(x_f + h_f, 0).sigmoid()
    candidate = activation(norm(x_n + forget * h_n, 1))
    return (state[0] + forget * (candidate - state[0]),)


MGU = Cell(step, gates=2, candidate=1, write=0)


def equation(w, x, state, f):
    (h,) = state
    outputs = []
    (w_f, w_n), (u_f, u_n) = w["weight_ih"].chunk(2), w["weight_hh"].chunk(2)
    (b_f, b_n), (c_f, c_n) = w["bias_ih"].chunk(2), w["bias_hh"].chunk(2)
    for x_t in x:
        forget = torch.sigmoid(w_f @ x_t + b_f + u_f @ h + c_f)
        h = (1 - forget) * h + forget * f(w_n @ x_t + b_n + forget * (u_n @ h + c_n))
        outputs.append(h)
    return outputs
