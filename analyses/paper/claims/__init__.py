"""The paper's claims as contrasts, decided by a rule."""
