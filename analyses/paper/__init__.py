"""The paper's figures, levels and claims, as measurements."""
