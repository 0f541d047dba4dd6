"""``fakes``: generators learn from the training side and make fakes for every side."""

from pathlib import Path

import click

from training.commands.options import dataset_option, runs_option, tell_counts
from training.runs import dataset_paths


@click.command()
@dataset_option
@runs_option
@click.option(
    "--full-size",
    is_flag=True,
    help="Use the full_size_arguments of the config: for hours on a GPU, not minutes on a CPU.",
)
@click.option(
    "--dicom",
    is_flag=True,
    help="Write each fake as a DICOM file as well, with Synthetic Data (0008,001C) = YES.",
)
def command(dataset: str, runs_dir: Path, *, full_size: bool, dicom: bool) -> None:
    """Fit the generators on the training side and make fakes for every side.

    Beside the fakes of each generator lie quality.json and contact_sheet.png. What a stopped
    command has made is kept. Fakes of both sizes never mix: what was made at the other size is
    refused, so give --runs or delete it first.
    """
    from training.config import load_dataset_config
    from training.data.manifest import read_index
    from training.fakes import produce as stage
    from training.fakes.as_dicom import write_dicoms

    config = load_dataset_config(dataset)
    if full_size:
        config = config.at_full_size
    paths = dataset_paths(runs_dir, config.name)
    scans = stage.produce(config, paths)
    if dicom:
        for fakes in config.fakes:
            made = read_index(paths.fakes_index(fakes.folder_name))
            write_dicoms(config.modality, paths.generator_dir(fakes.folder_name), made)
    tell_counts(scans)
