"""Fetch a model from the Hugging Face hub: run by the engine's Python.

Used as a script: `download_model.py ID REVISION ANSWER_FILE`; the folder of the model is written to the answer file. What
cannot be had is said in one sentence on the last line.
"""

import shutil
import sys
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

NEEDED = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model", "*.txt"]
HEADROOM_BYTES = 2**30


def fetch(model: str, revision: str) -> str:
    try:
        return snapshot_download(model, revision=revision, allow_patterns=NEEDED, local_files_only=True)
    except LocalEntryNotFoundError:
        print(f"{model} is not in the cache yet", flush=True)
    refuse_full_disk(model, revision)
    return snapshot_download(model, revision=revision, allow_patterns=NEEDED)


def refuse_full_disk(model: str, revision: str) -> None:
    files = HfApi().model_info(model, revision=revision, files_metadata=True).siblings or []
    needed = sum(file.size or 0 for file in files if file.rfilename.endswith(".safetensors")) + HEADROOM_BYTES
    free = shutil.disk_usage(Path.home()).free
    if free < needed:
        sys.exit(
            f"{model} needs {needed // 2**30} GiB of disk, {free // 2**30} are free: set HF_HOME to another disk."
        )


def main(model: str, revision: str, answer: Path) -> None:
    try:
        answer.write_text(fetch(model, revision))
    except RevisionNotFoundError:
        sys.exit(f"{model} has no revision {revision} on the hub: check ZEPHYR_MODEL_REVISION.")
    except RepositoryNotFoundError:
        sys.exit(
            f"the hub has no model {model}, or not for you: check ZEPHYR_MODEL, or set HF_TOKEN for a private one."
        )
    except (HfHubHTTPError, OSError) as error:
        sys.exit(f"{model} cannot be fetched from the hub ({type(error).__name__}). Is this machine online?")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
