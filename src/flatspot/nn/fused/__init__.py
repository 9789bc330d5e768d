"""Recurrent layers as machine code: one call for all time steps, written for the host's processor by LLVM."""
