"""Python imports this by itself at its start. It resolves the hosts under test to where Keyward listens, and refuses every
other name: no test leaves this machine."""

import json
import os
import socket

_HOSTS = set(json.loads(os.environ["KEYWARD_TEST_HOSTS"]))
_ADDRESS, _PORT = os.environ["KEYWARD_TEST_ADDRESS"].rsplit(":", 1)
_getaddrinfo = socket.getaddrinfo


def _resolve(host, port, *args, **kwargs):
    name = host.decode() if isinstance(host, bytes) else host
    if name in _HOSTS and str(port) in ("443", "https"):
        return _getaddrinfo(_ADDRESS, int(_PORT), *args, **kwargs)
    raise socket.gaierror(socket.EAI_NONAME, f"{name}:{port} is no host of this test")


socket.getaddrinfo = _resolve
