"""What maps are measured against: masks, edges and distances on each layer's grid; mean IoU; agreement of maps."""
