from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation

from amends.participants.barrier import Barrier


class Migration(migrations.Migration):
    initial = True
    operations: ClassVar[list[Operation]] = [
        migrations.CreateModel(
            "Stock",
            [
                ("item", models.CharField(max_length=50, primary_key=True, serialize=False)),
                ("left", models.PositiveIntegerField()),
            ],
        ),
        migrations.CreateModel(
            "Movement",
            [
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("order", models.CharField(max_length=50)),
                ("item", models.CharField(max_length=50)),
                ("pieces", models.IntegerField()),
            ],
        ),
        migrations.CreateModel(
            "Payment",
            [
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("order", models.CharField(max_length=50)),
                ("cents", models.IntegerField()),
            ],
        ),
        migrations.RunSQL(Barrier().schema, "DROP TABLE amends_barrier"),
    ]
