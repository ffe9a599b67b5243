"""Static files under names that carry their hash, ES module imports included: cached for ever, never stale."""

import re
from collections.abc import Callable

from whitenoise.storage import CompressedManifestStaticFilesStorage  # type: ignore[import-untyped]

CLASSIC_SCRIPTS = ("django_htmx/", "vendor/bootstrap/")


class HashedStaticFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    support_js_module_import_aggregation = True
    manifest_strict = True

    def url_converter(
        self, name: str, hashed_files: dict[str, str], template: str | None = None
    ) -> Callable[[re.Match[str]], str]:
        """Classic scripts import nothing: what looks like an import there is a type in a comment."""
        convert: Callable[[re.Match[str]], str] = super().url_converter(name, hashed_files, template)

        def convert_modules(match: re.Match[str]) -> str:
            if name.startswith(CLASSIC_SCRIPTS) and match["matched"].startswith(("import", "export")):
                return match["matched"]
            return convert(match)

        return convert_modules
