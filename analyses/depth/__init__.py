"""Where along the network: what maps show layer by layer."""
