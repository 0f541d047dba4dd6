"""What people read in place of the slugs of data sets and generators; files keep the slugs."""

import re

TITLES = {
    # Fakes, by how they were made.
    "classical_edits": "photo-editor edits",
    "ctgan": "CT-GAN attacks",
    "ctgan_imitation": "imitated CT-GAN attacks",
    "dcgan": "whole scans drawn by a DCGAN",
    "diffusion": "whole scans drawn by diffusion",
    "diffusion_inpainting": "places redrawn by diffusion",
    "diffusion_redraw": "scans redrawn by diffusion",
    "fastgan": "whole scans drawn by a FastGAN",
    "inpainting_gan": "regions painted by a GAN",
    "prezja_knees": "synthetic knees of Prezja et al.",
    "reconstruction": "scans redrawn by a network",
    "self_blending": "regions altered and blended back",
    "super_resolution": "scans redrawn by published networks",
    # Data sets.
    "busi": "BUSI, breast ultrasound",
    "caltech101": "Caltech 101, photographs",
    "knee_severity": "Osteoarthritis Initiative, graded knees",
    "lc25000": "LC25000, histopathology",
    "lidc": "LIDC-IDRI",
    "lung_dx": "Lung-PET-CT-Dx",
    "luna16": "LUNA16 (LIDC-IDRI)",
    "lungmask_testdata": "lungmask test data",
    "midrc_ricord1a": "MIDRC-RICORD-1A",
    "mosmed": "MosMedData JPEG files",
    "navoneel_brain_mri": "brain MRI from Kaggle",
    "nih_chestxray14": "NIH ChestX-ray14",
    "oai_chen2018": "Osteoarthritis Initiative (Chen 2018)",
    "rider_lung": "RIDER Lung CT",
    "siim_tcga": "SIIM/TCGA DICOM files",
    "tcia_acrinflt": "TCIA ACRIN-FLT-Breast",
    "tcia_lungfcp": "TCIA Lung-Fused-CT-Pathology",
    "totalsegmentator": "TotalSegmentator",
    "veriscan_reviews": "cases settled by reviewers",
    # Kinds of image that a gate is measured on.
    "brain_mri": "brain MRI",
    "chest_xray": "chest X-rays",
    "histopathology_lung": "lung histopathology",
    "knee_xray": "knee X-rays",
    "lung_ct": "lung CT",
    "photograph": "photographs",
    "retinal_fundus": "retinal photographs",
}
"""Titles by slug. Each can follow "scans from", or stand in a list of kinds of fakes."""

ENGLISH = frozenset({"diffusion", "photograph", "reconstruction"})
"""Slugs that are words as well, so that a sentence may hold them in their usual sense."""

_NAME = re.compile(r"(?:fakes of |source )?(?P<slug>\w+)(?P<rest>(?:,| \().*)?")
_IN_SENTENCE = re.compile(rf"\b(?:{'|'.join(sorted(TITLES.keys() - ENGLISH))})\b")


def title_of_data(name: str) -> str:
    """Return what a person reads in place of the name of a data set, a generator or a kind of scan.

    Args:
        name: A slug, alone or as a card writes it: ``fakes of dcgan, never fitted``,
            ``source mosmed``, ``dcgan (made here)``.

    Returns:
        The title; the name without underscores where the slug is not known.
    """
    matched = _NAME.fullmatch(name)
    if matched and (title := TITLES.get(matched["slug"])):
        return title + (matched["rest"] or "")
    return name.replace("_", " ")


def heading_of_data(name: str) -> str:
    """Return the title of a data set, a generator or a kind of scan where it stands alone."""
    title = title_of_data(name)
    return f"{title[:1].upper()}{title[1:]}"


def with_titles(sentence: str) -> str:
    """Return a sentence of a card with titles in place of the slugs in it."""
    return _IN_SENTENCE.sub(lambda matched: TITLES[matched[0]], sentence)
