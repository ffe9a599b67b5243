"""Settings, all from the environment; `manage.py up` sets what one machine needs. See docs/reference/settings.md."""

from datetime import timedelta
from email.utils import formataddr
from pathlib import Path
from urllib.parse import urlsplit

import environ

from instances import away

env = environ.Env()
ROOT = Path(__file__).resolve().parent.parent
DATA = Path(env.str("VISA_DATA", default=str(ROOT / "var"))).resolve()


def id_range(name: str, default: str) -> range:
    """`first-last`, both included."""
    first, _, last = env.str(name, default=default).partition("-")
    found = range(int(first), int(last) + 1)
    if not 1000 <= found.start < found.stop <= 2**32 - 2:
        raise ValueError(f"{name} must be first-last, between 1000 and {2**32 - 3}")
    return found


SECRET_KEY = env.str("VISA_SECRET_KEY", default="") or "only-for-commands-that-serve-nothing"
# Secrets of machines in clouds are derived from it: changing it shuts the portal out of those that exist.
INSTANCE_KEY = env.str("VISA_INSTANCE_KEY", default="") or SECRET_KEY
DEBUG = env.bool("VISA_DEBUG", default=False)

# Where people find us. The apps' origin is another site on purpose: see docs/explanation/origins.md.
PORTAL_URL = env.str("VISA_PORTAL_URL", default="http://localhost:8000")
BROKER_URL = env.str("VISA_BROKER_URL", default="http://localhost:8001")
APPS_HOST = env.str("VISA_APPS_HOST", default="apps.localhost:8001")
DEPLOYMENT = env.str("VISA_DEPLOYMENT", default="visa")
ALLOWED_HOSTS = env.list("VISA_ALLOWED_HOSTS", default=["localhost", "127.0.0.1"])
CSRF_TRUSTED_ORIGINS = [PORTAL_URL]
SECURE = PORTAL_URL.startswith("https://")

# How the facility presents itself.
FACILITY = {
    "name": env.str("VISA_FACILITY_NAME", default="VISA"),
    "accent": env.str("VISA_ACCENT", default="#2456a6"),
    "help_url": env.str("VISA_HELP_URL", default=""),
    "helpdesk": env.str("VISA_HELPDESK", default=""),
    "privacy_url": env.str("VISA_PRIVACY_URL", default=""),
    "terms_url": env.str("VISA_TERMS_URL", default=""),
}
DATA_ROOT = Path(env.str("VISA_DATA_ROOT", default=str(DATA / "facility"))).resolve()  # holds visitor/<proposal>/…
LOST_ACCESS = env.str("VISA_LOST_ACCESS", default="restart")  # an instance whose data may not be seen any more
if LOST_ACCESS not in ("restart", "stop"):
    raise ValueError("VISA_LOST_ACCESS is restart or stop")
SHARE_OUTSIDE = env.str("VISA_SHARE_OUTSIDE", default="refuse")  # invitations for people of no team
if SHARE_OUTSIDE not in ("refuse", "confirm"):
    raise ValueError("VISA_SHARE_OUTSIDE is refuse or confirm")
CLIPBOARD = env.str("VISA_CLIPBOARD", default="both")  # where a proposal says nothing else
if CLIPBOARD not in ("both", "in", "out", "none"):
    raise ValueError("VISA_CLIPBOARD is both, in, out or none")
# Whom the portal lets look while an owner is away, by capacity: see docs/explanation/sharing.md.
WHEN_AWAY = away.parse(env.dict("VISA_WHEN_AWAY", default={}))
METRICS_TOKEN = env.str("VISA_METRICS_TOKEN", default="")  # who bears it may read /metrics of web
ORPHANS = env.str("VISA_ORPHANS", default="report")  # what no row knows in a cloud, in this deployment's name
if ORPHANS not in ("report", "adopt", "delete"):
    raise ValueError("VISA_ORPHANS is report, adopt or delete")
ORPHANS_AFTER = timedelta(hours=env.float("VISA_ORPHANS_AFTER_HOURS", default=24))
# What counts as a computation: processor cores in use on average over a minute, and the share of GPUs that is busy.
IDLE_LOAD = env.float("VISA_IDLE_LOAD", default=0.05)
IDLE_GPU = env.float("VISA_IDLE_GPU", default=0.05)
DATA_TARGET = env.str("VISA_DATA_TARGET", default="/data")  # where instances see it

# Unix ids that the portal gives by itself, where claims and catalogues say none. Never reuse a range elsewhere.
LOCAL_UIDS = id_range("VISA_LOCAL_UIDS", "20000-59999")
LOCAL_GIDS = id_range("VISA_LOCAL_GIDS", "100000-499999")

# What the facility changes in the table of data permissions; checked before anything starts.
PERMISSIONS = env.str("VISA_PERMISSIONS", default="")

# Sign-in. `OIDC_TITLE` is the word on the button.
OIDC = {
    "issuer": env.str("VISA_OIDC_ISSUER", default=""),
    "client_id": env.str("VISA_OIDC_CLIENT_ID", default=""),
    "client_secret": env.str("VISA_OIDC_CLIENT_SECRET", default=""),
    "scope": env.str("VISA_OIDC_SCOPE", default="openid email profile aarc"),
    "title": env.str("VISA_OIDC_TITLE", default="MyAccessID"),
    "uid_claim": env.str("VISA_OIDC_UID_CLAIM", default=""),
    "username_claim": env.str("VISA_OIDC_USERNAME_CLAIM", default=""),
}
OIDC_MORE = env.str("VISA_OIDC_MORE", default="")  # a file: further providers
ROLE_MAPPING = env.str("VISA_ROLE_MAPPING", default="")  # a file: roles that entitlements give
# What counts as a fresh confirmation, for actions that demand one. No acr: any fresh login.
STEP_UP = {
    "minutes": env.int("VISA_STEP_UP_MINUTES", default=10),
    "acr": env.str("VISA_STEP_UP_ACR", default="https://refeds.org/profile/mfa").split(),
}
# Who may sign in, and how. Empty: no such condition. The page for each refusal says which one it was.
OIDC_REQUIRES = {
    "acr": env.str("VISA_OIDC_REQUIRED_ACR", default="").split(),
    "assurance": env.str("VISA_OIDC_REQUIRED_ASSURANCE", default="").split(),
    "allowed": env.str("VISA_OIDC_ALLOWED_SUBS", default="").split(),
    "refused": env.str("VISA_OIDC_REFUSED_SUBS", default="").split(),
}

# How long an API token may work at most.
TOKEN_DAYS_MAX = env.int("VISA_TOKEN_DAYS_MAX", default=365)

# Mail. The URL holds a password: nothing shows or logs it. Without one, mails are recorded and not sent.
MAIL = env.email_url_config(env.str("VISA_EMAIL_URL", default="") or "dummymail://")
SENDS_MAIL = "dummy" not in MAIL["EMAIL_BACKEND"]
EMAIL_BACKEND, EMAIL_FILE_PATH = MAIL["EMAIL_BACKEND"], MAIL["EMAIL_FILE_PATH"]
EMAIL_HOST, EMAIL_PORT = MAIL["EMAIL_HOST"] or "localhost", MAIL["EMAIL_PORT"]
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = MAIL["EMAIL_HOST_USER"], MAIL["EMAIL_HOST_PASSWORD"]
EMAIL_USE_TLS, EMAIL_USE_SSL = MAIL.get("EMAIL_USE_TLS", False), MAIL.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 20  # seconds, for each answer of the server
DEFAULT_FROM_EMAIL = env.str("VISA_EMAIL_FROM", default="") or formataddr(
    (FACILITY["name"], f"visa@{urlsplit(PORTAL_URL).hostname}")
)
DIGEST_HOUR = env.int("VISA_DIGEST_HOUR", default=6)
if DIGEST_HOUR not in range(24):
    raise ValueError("VISA_DIGEST_HOUR is an hour of the day in UTC, 0 to 23")

# The facility's catalogues: a JSON file that names them. The portal's own accounts there come from the environment,
# as VISA_CATALOGUE_<NAME>_USERNAME and _PASSWORD.
CATALOGUES = env.str("VISA_CATALOGUES", default="")
CATALOGUE_ACCOUNTS = {name: value for name, value in env.ENVIRON.items() if name.startswith("VISA_CATALOGUE_")}

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",  # only for the interfaces that DRF and channels expect
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "django_htmx",
    "django_filters",
    "procrastinate.contrib.django",
    "rest_framework",
    "drf_spectacular",
    "auth",
    "instances",
    "visa",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "visa.headers.SecurityHeaders",
]
ROOT_URLCONF = "visa.urls"
ASGI_APPLICATION = "visa.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "visa.context.facility",
            ],
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    ["django.template.loaders.filesystem.Loader", "django.template.loaders.app_directories.Loader"],
                )
            ],
        },
    }
]

# One database, PostgreSQL, everywhere. LISTEN and advisory locks need a direct connection, never a pooler's.
DATABASE_URL = env.str("DATABASE_URL", default="postgresql://visa@localhost/visa")
LISTEN_URL = env.str("VISA_LISTEN_URL", default=DATABASE_URL)
DATABASES = {"default": env.db_url_config(DATABASE_URL)}
DATABASES["default"].update({"CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": True})
DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {"min_size": 1, "max_size": 16, "timeout": 10}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

AUTH_USER_MODEL = "visa_auth.User"
AUTHENTICATION_BACKENDS = ["auth.backends.PersonBackend"]
LOGIN_URL = "/sign-in/"
SESSION_COOKIE_NAME = "visa_session"
CSRF_COOKIE_NAME = "visa_csrf"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
CSRF_FAILURE_VIEW = "instances.views.errors.csrf_failure"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True

LANGUAGE_CODE = "en-gb"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATIC_ROOT = DATA / "static"
NODE = ROOT / "node_modules"
STATICFILES_DIRS = [
    ("vendor/bootstrap", NODE / "bootstrap/dist"),
    ("vendor/bootstrap-icons", NODE / "bootstrap-icons/font"),
    ("vendor/inter", NODE / "@fontsource-variable/inter"),
    ("vendor/novnc", NODE / "@novnc/novnc"),
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "visa.static.HashedStaticFiles"},
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "instances.api.authentication.BearerToken",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.IsAuthenticated",
        "instances.api.permissions.HasScope",
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.LimitOffsetPagination",
    "PAGE_SIZE": 50,
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "instances.api.schema.ScopedSchema",
    "EXCEPTION_HANDLER": "visa.problems.handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "VISA portal",
    "DESCRIPTION": "Launch desktops and JupyterLab next to your experiments' data. Errors are RFC 9457 problem JSON.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1/",
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {name: {"level": "WARNING"} for name in ("procrastinate", "httpx", "httpx2")},
    "root": {"handlers": ["stderr"], "level": env.str("VISA_LOG_LEVEL", default="INFO")},
}
