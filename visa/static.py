"""Static files under names that carry their hash, ES module imports included: cached for ever, never stale."""

from django.contrib.staticfiles.storage import ManifestStaticFilesStorage


class HashedStaticFiles(ManifestStaticFilesStorage):
    support_js_module_import_aggregation = True
    manifest_strict = True
