"""JupyterLab's settings inside an instance: seen as /etc/jupyter, read by JupyterLab, never by the portal."""

# mypy: ignore-errors
# ruff: noqa: F821
import getpass
import hmac
import os
from hashlib import sha256
from pathlib import Path

from jupyter_server.auth.identity import IdentityProvider, User
from tornado.web import RequestHandler

DIGEST = Path("/opt/visa/token.sha256").read_text()
"""Of the token, which is the broker's alone: whoever works in here can read this."""


class Broker(IdentityProvider):
    """Whoever brings the instance's token, in a header: that is the broker. JupyterLab's own token is in its pages."""

    auth_enabled = True
    login_available = False

    def get_user(self, handler: RequestHandler) -> User | None:
        given = handler.request.headers.get("Authorization", "").removeprefix("token ")
        if not hmac.compare_digest(sha256(given.encode()).hexdigest(), DIGEST):
            return None
        handler._token_authenticated = True
        return User(username=getpass.getuser())


c = get_config()

c.ServerApp.sock = "/run/visa/jupyter.sock"
c.ServerApp.sock_mode = os.environ.get("VISA_SOCKET_MODE", "0600")
c.ServerApp.identity_provider_class = Broker
c.IdentityProvider.token = ""
c.ServerApp.base_url = "/"
c.ServerApp.allow_remote_access = True  # the broker passes the browser's Host on, and has checked the Origin
c.ServerApp.open_browser = False
c.ServerApp.quit_button = False
c.ServerApp.root_dir = "/desk"
c.FileContentsManager.preferred_dir = "home"
c.ServerApp.terminado_settings = {"shell_command": ["/bin/bash", "-l"]}
c.ServerApp.jpserver_extensions = {
    "jupyterlab": True,
    "jupyterlab_h5web": True,
    "jupyter_server_terminals": True,
    "jupyter_lsp": False,
    "notebook_shim": False,
}
c.ContentsManager.allow_hidden = False
c.FileContentsManager.delete_to_trash = False  # a bin in the data folders would be a folder that nobody granted
c.ConnectionFileMixin.transport = "ipc"
c.ZMQChannelsWebsocketConnection.iopub_data_rate_limit = 1e8
c.LabApp.extension_manager = "readonly"
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.news_url = None
