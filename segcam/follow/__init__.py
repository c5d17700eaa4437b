"""A network followed while it trains: the scores of a few fixed images once an epoch, as a table, pictures and a page.

follow = Follow(network, images, class_id=1, masks=masks, out="runs/mine")
follow(epoch)  # once an epoch
"""

from segcam.follow.follower import Follow

__all__ = ["Follow"]
