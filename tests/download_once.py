"""Run by test_downloads.py in a process of its own: download the VAE of FLUX.1 [schnell] from HF_ENDPOINT, print what happened."""

import sys
from pathlib import Path

import advanced_models.host
from advanced_models.errors import UserError
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders import downloads
from advanced_models.loaders.component import select_component

advanced_models.host.use(StandaloneHost.below(Path(sys.argv[1])))
# Small chunks, so that a few megabytes are many of them.
import huggingface_hub.constants  # noqa: E402

huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = 1 << 18
print("ready", flush=True)  # noqa: T201 - it is what the test reads
component = select_component("FLUX.1-schnell", "vae")
try:
    print(downloads.obtain(component).folder)  # noqa: T201
except UserError as error:
    print(f"{type(error).__name__}: {error}")  # noqa: T201
    sys.exit(2)
