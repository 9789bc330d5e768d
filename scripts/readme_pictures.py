"""Take the README's pictures: a sick run, its diagnosis and cure, a sweep, pages and TensorBoard in a browser.

    python scripts/readme_pictures.py

Each command runs in a pseudo-terminal, in an empty folder; what it says becomes an SVG in `docs/pictures`, with nothing
in it that is fetched. Pages need the extra `browser`, Chromium and ChromeDriver.
"""

import argparse
import fcntl
import io
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any, Final

from PIL import Image
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT: Final = Path(__file__).resolve().parents[1]
PICTURES: Final = ROOT / "docs" / "pictures"

COLUMNS: Final = 118
ROWS: Final = 60

SICK: Final = (
    "flatspot train data=sensor data.scale=none data.scale_target=none trainer.max_epochs=5 hydra.run.dir=sick"
)

CURED: Final = "flatspot train data=sensor trainer.max_epochs=5 hydra.run.dir=cured"

SHOWN: Final = {
    "run": [SICK],
    "doctor": ["flatspot doctor sick --cure"],
    "sweep": [
        "flatspot train -m data=delay model.cell=rnn,gru model.activation=tanh,relu,sigmoid seed=0,1,2 "
        "trainer.max_epochs=5 examine=quick hydra.sweep.dir=sweep"
    ],
}
"""By the picture's name, the commands that it shows."""

QUIET: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
)
"""How the browser is started: without a screen, and without errands of its own."""

SVG: Final = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>{chrome}</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
<rect width="{width}" height="{height}" rx="8" fill="#272822"/>
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def said(command: str, folder: Path) -> str:
    """What a terminal gets to see of a command."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    environment.pop("NO_COLOR", None)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    # The words of these commands are ours; bars and spinners go to the other stream.
    process = subprocess.Popen(command.split(), stdout=theirs, stderr=subprocess.DEVNULL, cwd=folder, env=environment)
    os.close(theirs)
    text = b""
    while True:
        try:
            more = os.read(ours, 65536)
        except OSError:
            break
        if not more:
            break
        text += more
    os.close(ours)
    if process.wait() > 1:  # 1: the doctor has found something
        raise RuntimeError(f"{command}: ended with {process.returncode}: {text.decode()[-500:]}")
    return text.decode().replace("\r\n", "\n")


def picture(name: str, commands: list[str], folder: Path) -> None:
    """Run them one after the other and draw the screen."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for command in commands:
        console.print(Text.from_ansi(f"\033[1m$ {command}\033[0m"))
        console.print(Text.from_ansi(shortened(said(command, folder))))
    drawn = console.export_svg(title=commands[-1], theme=MONOKAI, code_format=SVG, unique_id=f"flatspot-{name}")
    drawn = re.sub(r"<title>.*?</title>", f"<title>{commands[-1]}</title>", drawn, count=1, flags=re.DOTALL)
    PICTURES.mkdir(parents=True, exist_ok=True)
    (PICTURES / f"terminal_{name}.svg").write_text(drawn, encoding="utf-8")


def shortened(text: str) -> str:
    """Without the lines that Hydra says of each job."""
    return "\n".join(line for line in text.rstrip().split("\n") if not re.match(r"^\[.*HYDRA\]|^\t#\d+ : ", line))


def pages(folder: Path) -> None:
    """The pages of the sick run and of the cured one side by side, of the sweep, and of a run on a phone."""
    _trained(folder)
    with _browser(folder) as browser:
        both = [seen(browser, folder / name / "report.html", (700, 1130)) for name in ("sick", "cured")]
        together = Image.new("RGB", (both[0].width + both[1].width, both[0].height))
        for number, half in enumerate(both):
            together.paste(half, (number * both[0].width, 0))
        together.save(PICTURES / "report_sick_and_cured.png", optimize=True)
        for name, size in (("desktop", (1180, 1500)), ("phone", (390, 1500))):
            seen(browser, folder / "cured" / "report.html", size).save(PICTURES / f"report_{name}.png", optimize=True)
        if (folder / "sweep").exists():
            wide = seen(browser, folder / "sweep" / "report.html", (1180, 760))
            wide.save(PICTURES / "report_sweep.png", optimize=True)


def tensorboard(folder: Path) -> None:
    """The sick run and the cured one, as TensorBoard's Custom Scalars show them; its server listens here alone."""
    from selenium.webdriver.support.ui import WebDriverWait  # noqa: PLC0415 - an extra of its own
    from tensorboard import program  # noqa: PLC0415 - slow, and for this picture alone

    _trained(folder)
    board = program.TensorBoard()
    runs = "sick:sick,cured:cured"  # from within: its page shows what it was given
    board.configure(argv=["tensorboard", "--logdir_spec", runs, "--host", "127.0.0.1", "--port", "0"])
    with chdir(folder), _browser(folder) as browser:
        address = board.launch()
        _sized(browser, (1120, 760))
        browser.get(f"{address}#custom_scalars")
        WebDriverWait(browser, 60).until(lambda each: "Matches (4)" in each.find_element("tag name", "body").text)
        time.sleep(3)  # its charts move into place
        shown = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
        shown.save(PICTURES / "tensorboard.png", optimize=True)


def _trained(folder: Path) -> None:
    """The sick run and the cured one are there."""
    for command in (SICK, CURED):
        if not (folder / command.rpartition("=")[2]).exists():
            said(command, folder)


@contextmanager
def _browser(folder: Path) -> Iterator[Any]:
    from selenium import webdriver  # noqa: PLC0415 - an extra of its own

    options = webdriver.ChromeOptions()
    for each in (*QUIET, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(each)
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield browser
    finally:
        browser.quit()


def _sized(browser: Any, size: tuple[int, int]) -> None:  # noqa: ANN401 - of an extra
    asked = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", asked)


def seen(browser: Any, page: Path, size: tuple[int, int]) -> Image.Image:  # noqa: ANN401 - of an extra
    """What a window of this size shows of a page."""
    _sized(browser, size)
    browser.get(page.as_uri())
    return Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")


DRAWN: Final = {"pages": pages, "tensorboard": tensorboard}
"""By name, what a browser shows."""


def main() -> None:
    """Take all of them, or those that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", default=[*SHOWN, *DRAWN], help=", ".join([*SHOWN, *DRAWN]))
    chosen = parser.parse_args().names
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            if name in DRAWN:
                DRAWN[name](Path(folder))
            else:
                picture(name, SHOWN[name], Path(folder))


if __name__ == "__main__":
    main()
