"""Fetch a model from the Hugging Face hub, resuming what was begun: run by the engine's Python.

Used as a script: `download_model.py ID REVISION ANSWER_FILE`; the folder of the model is written to the answer file. What
cannot be had is said in one sentence on the last line.
"""

import shutil
import sys
from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

NEEDED = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model", "*.txt"]
HEADROOM_BYTES = 2**30


def refuse_full_disk(model: str, revision: str) -> None:
    files = HfApi().model_info(model, revision=revision, files_metadata=True).siblings or []
    cache = Path(constants.HF_HUB_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    have = sum(
        file.stat().st_size for file in (cache / f"models--{model.replace('/', '--')}").rglob("blobs/*")
    )
    needed = (
        sum(file.size or 0 for file in files if file.rfilename.endswith(".safetensors"))
        - have
        + HEADROOM_BYTES
    )
    free = shutil.disk_usage(cache).free
    if free < needed:
        sys.exit(
            f"{model} needs {needed // 2**30} GiB more in {cache}, {free // 2**30} are free: set HF_HOME elsewhere."
        )


def fetch(model: str, revision: str) -> str:
    """From the hub; without a network, from what was fetched before."""
    try:
        refuse_full_disk(model, revision)
        return str(snapshot_download(model, revision=revision, allow_patterns=NEEDED))
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise
    except (HTTPError, OSError) as error:
        print(f"the hub does not answer ({type(error).__name__}); looking at what is here", flush=True)
        return str(snapshot_download(model, revision=revision, allow_patterns=NEEDED, local_files_only=True))


def main(model: str, revision: str, answer: Path) -> None:
    try:
        answer.write_text(fetch(model, revision))
    except RevisionNotFoundError:
        sys.exit(f"{model} has no revision {revision} on the hub: check ZEPHYR_MODEL_REVISION.")
    except RepositoryNotFoundError:
        sys.exit(
            f"the hub has no model {model}, or not for you: check ZEPHYR_MODEL; a private one needs HF_TOKEN."
        )
    except LocalEntryNotFoundError:
        sys.exit(f"{model} cannot be fetched: the hub does not answer. Is this machine online?")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
