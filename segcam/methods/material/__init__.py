"""What methods are made from: pairs of activations and gradients, the explained network, its graph, superpixels."""
