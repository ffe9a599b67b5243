"""The process that carries bytes between browsers and instances: desktops over WebSockets, web apps by HTTP."""
