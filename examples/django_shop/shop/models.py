"""The shop's books. Lines are only ever added: what is undone is a line of its own, with the other sign."""

from __future__ import annotations

from django.db import models


class Stock(models.Model):
    """How much is left of an item."""

    item = models.CharField(max_length=50, primary_key=True)
    left = models.PositiveIntegerField()


class Movement(models.Model):
    """Pieces that were taken for an order (negative: put back)."""

    order = models.CharField(max_length=50)
    item = models.CharField(max_length=50)
    pieces = models.IntegerField()


class Payment(models.Model):
    """Cents that were taken for an order (negative: given back)."""

    order = models.CharField(max_length=50)
    cents = models.IntegerField()
