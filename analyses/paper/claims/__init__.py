"""The paper's claims, and findings of others, as contrasts, decided by a rule."""
