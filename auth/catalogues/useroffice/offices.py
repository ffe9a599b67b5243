"""The User Offices of this facility, as VISA_CATALOGUES names them."""

from auth.catalogues.configured import account, configured

from . import config
from .broker import Office

KIND = "useroffice"


def offices() -> list[Office]:
    """CatalogueError with what is wrong about the configuration, or the account that is missing."""
    found = (catalogue for catalogue in configured().values() if catalogue.kind == KIND)
    return [Office(one.name, config.load(one.where), account(one.name)) for one in found]
