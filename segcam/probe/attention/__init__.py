"""Attention: where a transformer attends, and its matrices with the grids that their tokens lie on."""

from segcam.probe.attention.matrices import Attention, AttentionPlace, no_attention

__all__ = ["Attention", "AttentionPlace", "no_attention"]
