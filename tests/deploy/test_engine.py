"""The real engine over the plugin, from the first `up` to a `destroy` that leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.deploy.conftest import Project, free_port
