"""Other ways to write a saga: each makes an ordinary saga over the definition layer, and none touches
replay.
"""
