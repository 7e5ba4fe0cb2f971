"""As small as settings get. What matters to sagas: the middleware, and how transactions begin."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).parent.parent
SECRET_KEY = os.environ.get("SECRET_KEY", "only for this example")
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = ["shop.apps.ShopConfig"]
MIDDLEWARE = ["amends.participants.barrier.web.django.BarrierMiddleware"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "shop.db",
        # SQLite: writers queue up from the beginning, instead of giving up half-way.
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 30},
    }
}

AMENDS_STORE = f"sqlite:///{BASE_DIR / 'amends.db'}"
WAREHOUSE = os.environ.get("WAREHOUSE", "http://127.0.0.1:8000")
SLOW = float(os.environ.get("SLOW", "0"))  # seconds from a commit to its answer; a crash hurts most there
