"""What can be wrong with a file or a key, by area, and what is said of it: for the tests, and for docs/refusals.md.

A file is called `my.csv` unless an entry says otherwise, and is read in its own folder.
"""

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl


@dataclass(frozen=True)
class Refusal:
    """One thing that is wrong.

    Args:
        area: of the taxonomy. wrong: what is wrong, in plain words. said: the sentence after `error: `.
        file: its text, its bytes, or what makes it; None: there is none.
        keys: what is typed. Without a `data=` among them, `data=csv` and the path are typed too.
        name: of the file. memory: bytes that the machine is taken to have.
    """

    area: str
    wrong: str
    said: str
    file: str | bytes | Callable[[Path], object] | None = None
    keys: tuple[str, ...] = ()
    name: str = "my.csv"
    memory: int | None = None

    @property
    def typed(self) -> tuple[str, ...]:
        """All keys."""
        own = any(key.startswith("data=") for key in self.keys)
        return self.keys if own else ("data=csv", f"data.path={self.name}", *self.keys)

    def write(self, folder: Path) -> None:
        """Make the file."""
        path = folder / self.name
        if callable(self.file):
            self.file(path)
        elif self.file is not None:
            path.write_bytes(self.file.encode() if isinstance(self.file, str) else self.file)


def table(head="day,y", rows=60, row=None, **instead):
    """Days of a number in CSV; `r7="a,b"` writes another seventh row, and `r7=None` leaves it out."""
    lines = [head, *(row(each) if row else f"{day(each)},{number(each)}" for each in range(rows))]
    for place, line in instead.items():
        lines[int(place[1:])] = line
    return "".join(f"{line}\n" for line in lines if line is not None)


def day(number):
    return date(2024, 1, 1) + timedelta(number)


def hour(number, first="2024-01-01"):
    return datetime.fromisoformat(first) + timedelta(hours=number)


def number(row):
    return row * row % 7


def hourly(first="2024-01-01", rows=60, offset="", **instead):
    return table(row=lambda each: f"{hour(each, first)}{offset},{number(each)}", rows=rows, **instead)


def shops(*lengths):
    """Series a, b, ... of so many days."""
    series = zip("abc", lengths, strict=True)
    rows = [f"{name},{day(each)},{number(each)}" for name, length in series for each in range(length)]
    return "\n".join(["shop,day,y", *rows]) + "\n"


def labelled(label, series=20, rows=8):
    """Short series without stamps; `label(series, row)` is what stands in the column `kind`."""
    lines = [f"s{one},{number(one + row)},{label(one, row)}" for one in range(series) for row in range(rows)]
    return "\n".join(["id,y,kind", *lines]) + "\n"


def two_columns(row="{day},{number},{other}"):
    return table("day,y,z", row=lambda each: row.format(day=day(each), number=number(each), other=each % 5))


def half(whole):
    return whole[: len(whole) // 2]


def half_a_parquet_file(path):
    pl.DataFrame({"y": [1.0, 2.0, 3.0]}).write_parquet(path)
    path.write_bytes(half(path.read_bytes()))


def without_permission(path):
    path.write_text(DAYS)
    path.chmod(0)


def one_long_line(path):
    path.write_bytes(b"x" * 100_000_000)


def one_long_cell(path):
    path.write_text(DAYS.replace("2024-01-20,", "2024-01-20," + "x" * 100_000_000))


DAYS = table()
LABELS = ("data.group=id", "data.label=kind", "model=classifier", "data.horizon=null", "data.window=null")
UTC_OR_OFFSET = "write the stamps in UTC, or with their offset"
SEVERAL = "; if the file holds several series, data.group= names their column"
ONE_KEPT = "data.duplicates=first, last or mean keeps one"
FILLED = "fill it with data.missing=interpolate or forward_fill, or leave its row out with data.missing=drop"
PUT_IN = (
    "data.missing=interpolate or forward_fill puts them in, drop goes on across them; data.frequency=none takes "
    "windows by row order"
)

FILE = "The file"
DIALECT = "Encoding and dialect"
HEADER = "The header"
TYPES = "Types"
TIME = "The time axis"
VALUES = "Values"
SIZE = "Size"
SPLITS = "Splits"
ROLES = "Roles of columns"
SETTINGS = "Settings"

NO_PERMISSION = Refusal(
    FILE,
    "a file that you may not read",
    "my.csv: cannot be opened: Permission denied",
    without_permission,
)

REFUSALS = (
    Refusal(FILE, "no file of that name", "my.csv: there is no such file"),
    Refusal(
        FILE,
        "JSON, line by line",
        "my.csv: is JSON, not CSV; save the table as CSV or Parquet",
        "".join(f'{{"day": "{day(each)}", "y": {number(each)}}}\n' for each in range(60)),
    ),
    Refusal(
        FILE,
        "no path at all",
        "data=csv needs a file: data=csv data.path=my.csv data.target=column",
        keys=("data=csv",),
    ),
    Refusal(FILE, "a folder", "my.csv: is a folder, not a file", Path.mkdir),
    Refusal(FILE, "a pipe", "my.csv: is not a regular file", os.mkfifo),
    NO_PERMISSION,
    Refusal(FILE, "an empty file", "my.csv: the file is empty", ""),
    Refusal(
        FILE,
        "an Excel workbook",
        "my.xlsx: is a zip archive or an Excel workbook; save the table as CSV or Parquet",
        b"PK\x03\x04" + bytes(60),
        name="my.xlsx",
    ),
    Refusal(
        FILE,
        "half a gzipped file",
        "my.csv.gz: cannot be unzipped (Compressed file ended before the end-of-stream marker was reached); "
        "copy or zip it again",
        half(gzip.compress(DAYS.encode(), mtime=0)),
        name="my.csv.gz",
    ),
    Refusal(
        FILE,
        "half a Parquet file",
        "my.parquet: is cut short: a whole Parquet file ends with PAR1; copy or write it again",
        half_a_parquet_file,
        name="my.parquet",
    ),
    Refusal(
        FILE,
        "CSV in a file that is called Parquet",
        "my.parquet: is no Parquet file, whatever its name says; name a CSV file .csv",
        DAYS,
        name="my.parquet",
    ),
    Refusal(
        DIALECT,
        "UTF-16, as some spreadsheets save",
        "my.csv: is written in UTF-16; save it as UTF-8",
        DAYS.encode("utf-16"),
    ),
    Refusal(
        DIALECT,
        "Latin-1, and an é",
        "my.csv: line 21 is not UTF-8 (byte 0xe9); save the file as UTF-8",
        table("day,y,at", row=lambda each: f"{day(each)},{each},{'é' if each == 19 else 'e'}").encode("latin-1"),
        ("data.target=y",),
    ),
    Refusal(
        DIALECT,
        "a photo",
        "my.csv: is no text file; save the table as CSV or Parquet",
        b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    ),
    Refusal(
        DIALECT,
        "commas, and a row with a semicolon",
        "my.csv: line 21 has 1 cell, and the header 2: it is separated by semicolons, the header by commas",
        table(r20="2024-01-20;4"),
    ),
    Refusal(
        DIALECT,
        "a row of too many cells",
        "my.csv: line 21 has 3 cells, and the header 2: a cell that holds commas stands in quotes, and decimals have a "
        "point",
        table(r20="2024-01-20,4,5"),
    ),
    Refusal(
        DIALECT,
        "a row of too few cells",
        "my.csv: line 21 has 1 cell, and the header 2: a missing value is an empty cell",
        table(r20="2024-01-20"),
    ),
    Refusal(
        DIALECT,
        "a quotation mark that is never closed",
        "my.csv: line 21: a quotation mark opens a cell and is never closed",
        table(r20='2024-01-20,"4'),
    ),
    Refusal(
        DIALECT,
        "text after a closing quotation mark",
        "my.csv: line 21: a cell with a quotation mark stands in quotes, and the mark is written twice",
        table(r20='2024-01-20,"4" or so'),
    ),
    Refusal(
        DIALECT,
        "two stray quotation marks with rows between them",
        "my.csv: line 31: a cell with a quotation mark stands in quotes, and the mark is written twice",
        table("day,y,s", row=lambda each: f"{day(each)},{number(each)},a", r30='2024-01-30,4,"', r32='2024-02-01,5,"b'),
    ),
    Refusal(
        DIALECT,
        "two stray quotation marks, each at the end of its row",
        "my.csv: line 31: a cell in quotes holds whole rows; is a mark left open?",
        table("day,y,s", row=lambda each: f"{day(each)},{number(each)},a", r30='2024-01-30,4,"', r32='2024-02-01,5,"'),
    ),
    Refusal(
        DIALECT,
        "columns separated by spaces",
        "my.csv: is separated by spaces; separate columns by commas, semicolons, tabs or bars",
        DAYS.replace(",", " "),
    ),
    Refusal(
        DIALECT,
        "lines of an old Macintosh",
        "my.csv: its lines end as on an old Macintosh (CR); save it with LF or CRLF",
        DAYS.replace("\n", "\r"),
    ),
    Refusal(
        HEADER,
        "a blank first line",
        "my.csv: its first line is blank; it names the columns",
        "\n" + DAYS,
    ),
    Refusal(
        HEADER,
        "no header",
        "my.csv: has no header line: the first line (2024-01-01,0) is a row; write the columns' names above it",
        DAYS.removeprefix("day,y\n"),
    ),
    Refusal(
        HEADER,
        "a title above the header",
        "my.csv: line 2 has 2 cells, and the header 1: the first line must name the columns",
        "Sales of 2024\n" + DAYS,
    ),
    Refusal(
        HEADER,
        "a comment above the header",
        "my.csv: line 2 has 2 cells, and the header 1: '# made by hand' is a comment, and the first line must name the "
        "columns",
        "# made by hand\n" + DAYS,
    ),
    Refusal(
        HEADER,
        "a comment with a comma above the header",
        "my.csv: '# made by hand' is a comment, and the first line must name the columns",
        "# made by hand,today\n" + DAYS,
    ),
    Refusal(
        HEADER,
        "as many commas as semicolons",
        "my.csv: its first line has as many commas as semicolons; separate columns in one way, and put a name that "
        "holds the other in quotes",
        table("a,b;y", row=lambda each: f"{each},{each};{each}"),
    ),
    Refusal(HEADER, "a header and no rows", "my.csv: has a header line and no rows", "day,y\n"),
    Refusal(
        HEADER,
        "two columns of one name",
        "my.csv: columns 2 and 3 are both called 'y'; each needs a name of its own",
        "day,y,y\n2024-01-01,1,2\n",
    ),
    Refusal(
        HEADER,
        "two columns without a name",
        "my.csv: columns 1 and 3 are both without a name; each needs a name of its own",
        ",y,\n0,1,2\n",
    ),
    Refusal(
        TYPES,
        "a word among numbers",
        "my.csv: line 8, column 'y': 'seven' is not a number; a missing value is an empty cell or NA",
        table(r7="2024-01-07,seven"),
    ),
    Refusal(
        TYPES,
        "commas as decimals",
        "my.csv: line 2, column 'y': '0,5' is not a number; write decimals with a point, and thousands without a comma "
        "(59 more such cells below)",
        table("day;y", row=lambda each: f"{day(each)};{each},5"),
    ),
    Refusal(
        TYPES,
        "a unit beside a number",
        "my.csv: line 8, column 'y': '7 kg' is not a number; write the number alone, as 1234.5",
        table(r7="2024-01-07,7 kg"),
    ),
    Refusal(
        TYPES,
        "no column of numbers",
        "my.csv: has no column of numbers to predict; columns: day, at",
        table("day,at", row=lambda each: f"{day(each)},here"),
    ),
    Refusal(
        TYPES,
        "a Parquet column of lists",
        "my.parquet: column 'y' holds List(Int64), not numbers",
        lambda path: pl.DataFrame({"y": [[1, 2], [3, 4]]}).write_parquet(path),
        ("data.target=y",),
        name="my.parquet",
    ),
    Refusal(
        TYPES,
        "words as labels of a regressor",
        "my.csv: line 2, column 'kind': 'dog' is not a number; to predict a class, say model=classifier",
        labelled(lambda series, _: ["dog", "cat"][series % 2]),
        (*LABELS, "model=regressor"),
    ),
    Refusal(
        TYPES,
        "numbers as classes",
        "my.csv: column 'kind' has 1,200 different labels; to predict a number, say model=regressor",
        labelled(lambda series, _: series / 10, series=1200, rows=1),
        LABELS,
    ),
    Refusal(
        TIME,
        "dates with the day first",
        "my.csv: line 2, column 'day' looks like dates, but '01.01.2024' cannot be read as a date; write them as "
        "2024-01-31, 2024-01-31 13:00 or 2024-01-31T13:00:00, or say data.time=none for rows in order",
        table(row=lambda each: f"{day(each):%d.%m.%Y},{number(each)}"),
    ),
    Refusal(
        TIME,
        "dates with two digits of the year",
        "my.csv: line 2, column 'day' looks like dates, but '01-Jan-24' cannot be read as a date; write them as "
        "2024-01-31, 2024-01-31 13:00 or 2024-01-31T13:00:00, or say data.time=none for rows in order",
        table(row=lambda each: f"{day(each):%d-%b-%y},{number(each)}"),
    ),
    Refusal(
        TIME,
        "numbers that are dates or seconds",
        "my.csv: line 2, column 'day': '2024010100' is a date (YYYYMMDDHH) or a number of seconds since 1970; write "
        "dates as 2024-01-31, 2024-01-31 13:00 or 2024-01-31T13:00:00",
        table(row=lambda each: f"{2024010100 + each * 10_001},{each}", rows=3),
        ("data.time=day", "data.target=y"),
    ),
    Refusal(
        TIME,
        "days of a spreadsheet",
        "my.csv: line 2, column 'day' is data.time, but '45292' cannot be read as a date or as seconds since 1970, "
        "from 100,000,000 on; write them as 2024-01-31, 2024-01-31 13:00 or 2024-01-31T13:00:00, or say data.time=none "
        "for rows in order",
        table(row=lambda each: f"{45292 + each},{number(each)}"),
        ("data.time=day", "data.target=y"),
    ),
    Refusal(
        TIME,
        "row numbers as time stamps",
        "my.csv: line 2, column 'day' is data.time, but '0' cannot be read as a date or as seconds since 1970, from "
        "100,000,000 on; write them as 2024-01-31, 2024-01-31 13:00 or 2024-01-31T13:00:00, or say data.time=none "
        "for rows in order",
        table(row=lambda each: f"{each},{number(each)}", rows=3500),
        ("data.time=day", "data.target=y"),
    ),
    Refusal(
        TIME,
        "yes in place of the column of stamps",
        "data.time=true: name the column of time stamps, or say none for rows in order; columns: day, y",
        DAYS,
        ("data.time=true",),
    ),
    Refusal(
        TIME,
        "a date, and a clock that is a word",
        "my.csv: line 2, column 'day, clock': '2024-01-01 noon' cannot be read as a date and its clock (data.time); "
        "write them as 2024-01-31 and 13:00",
        table("day,clock,y", row=lambda each: f"{day(each)},noon,{number(each)}"),
        ("data.time=[day,clock]", "data.target=y"),
    ),
    Refusal(
        TIME,
        "the 30th of February",
        "my.csv: line 62, column 'day': '2024-02-30' cannot be read as a date written like '2024-01-01'",
        table() + "2024-02-30,1\n",
    ),
    Refusal(
        TIME,
        "the 30th of February, in columns",
        "my.csv: line 31, column 'year, month, day': '2024-2-30' is no date; it is read as year-month-day",
        table("year,month,day,y", row=lambda each: f"2024,2,{each + 1},{number(each)}", rows=30),
        ("data.time=[year,month,day]", "data.target=y"),
    ),
    Refusal(
        TIME,
        "the day left out between its month and its hour",
        "data.time=[year, month, hour]: leaves out day; a date has all parts from year on",
        table("year,month,hour,y", row=lambda each: f"2024,1,{each},{number(each)}", rows=24),
        ("data.time=[year,month,hour]", "data.target=y"),
    ),
    Refusal(
        TIME,
        "a stamp missing",
        "my.csv: line 21, column 'day': the value is missing; every row needs its time stamp, or say data.time=none "
        "for rows in order",
        table(r20=",4"),
    ),
    Refusal(
        TIME,
        "a stamp twice",
        f"my.csv: line 21: 2024-01-19 00:00:00 comes twice (1 such row); {ONE_KEPT}{SEVERAL}",
        table(r20="2024-01-19,4\n2024-01-20,4"),
    ),
    Refusal(
        TIME,
        "rows out of order",
        "my.csv: line 22: 2024-01-20 00:00:00 comes before the row before it (1 such row); data.unsorted=sort puts "
        f"them in order{SEVERAL}",
        table(r20="2024-01-21,4", r21="2024-01-20,4"),
    ),
    Refusal(
        TIME,
        "a wrong day, which is out of order, comes twice, and leaves its own day out",
        "my.csv: line 21: 2024-01-10 00:00:00 comes before the row before it (1 such row); data.unsorted=sort puts "
        f"them in order\n  also line 21: 2024-01-10 00:00:00 comes twice (1 such row); {ONE_KEPT}{SEVERAL}\n  also "
        f"line 22: 1 absent row of 1d before 2024-01-21 00:00:00 (1 such gap); {PUT_IN}",
        table(r20="2024-01-10,4"),
    ),
    Refusal(
        TIME,
        "stamps with an offset, and one without",
        "my.csv: line 21, column 'day': '2024-01-01 19:00:00' has no UTC offset, and others have one; write all stamps "
        "in one way",
        hourly(offset="+01:00", r20="2024-01-01 19:00:00,4"),
    ),
    Refusal(
        TIME,
        "a clock put forward for summer",
        "my.csv: line 28: 1 absent row of 1h before 2024-03-31 03:00:00 (1 such gap), as by a clock put forward for "
        f"summer: {UTC_OR_OFFSET}; {PUT_IN}",
        hourly("2024-03-30", r27=None),
    ),
    Refusal(
        TIME,
        "a clock put back for winter",
        "my.csv: line 29: 2024-10-27 02:00:00 comes twice (1 such row), as by a clock put back for winter: "
        f"{UTC_OR_OFFSET}; {ONE_KEPT}{SEVERAL}",
        hourly("2024-10-26", r28="2024-10-27 02:00:00,4"),
    ),
    Refusal(
        TIME,
        "a clock put back for winter, every half hour",
        "my.csv: line 56: 2024-10-27 02:00:00 comes before the row before it (1 such row), as by a clock put back for "
        f"winter: {UTC_OR_OFFSET}; data.unsorted=sort puts them in order{SEVERAL}",
        table(row=lambda each: f"{hour((each if each < 54 else each - 2) / 2, '2024-10-26')},{number(each)}"),
    ),
    Refusal(
        TIME,
        "days left out",
        f"my.csv: line 21: 2 absent rows of 1d before 2024-01-22 00:00:00 (1 such gap); {PUT_IN}",
        table(r20=None, r21=None),
    ),
    Refusal(
        TIME,
        "stamps at any time",
        "my.csv: the time stamps are not equally spaced: 24 h to 117 days apart, mostly about 59 days; "
        "data.frequency=none takes windows by row order",
        table(row=lambda each: f"{day(each * each)},{number(each)}"),
    ),
    Refusal(
        TIME,
        "one stamp beside the hour",
        "my.csv: line 21: 2024-01-01 19:07:00 is no whole number of steps of 1h after the row before "
        "(data.frequency=1h); data.frequency=none takes windows by row order",
        hourly(r20="2024-01-01 19:07:00,4"),
        ("data.frequency=1h",),
    ),
    Refusal(
        TIME,
        "another frequency than the file's",
        "data.frequency=1d: the rows of my.csv are 1h apart",
        hourly(),
        ("data.frequency=1d",),
    ),
    Refusal(
        VALUES,
        "a word, a missing value and a stamp twice",
        f"my.csv: line 8, column 'y': 'seven' is not a number; a missing value is an empty cell or NA\n  also line 10, "
        f"column 'z': the value is missing; {FILLED} (1 more such cell below)\n  also line 31: 2024-01-29 00:00:00 "
        f"comes twice (1 such row); {ONE_KEPT}{SEVERAL}",
        two_columns()
        .replace("2024-01-07,1,1", "2024-01-07,seven,1")
        .replace("-09,1,3", "-09,1,")
        .replace("-10,4,4", "-10,4,NA")
        .replace("2024-01-29,0,3\n", "2024-01-29,0,3\n2024-01-29,0,3\n"),
        keys=("data.target=y", "data.features=[z]"),
    ),
    Refusal(
        VALUES,
        "a value missing",
        f"my.csv: line 8, column 'y': the value is missing; {FILLED}",
        table(r7="2024-01-07,NA"),
    ),
    Refusal(
        VALUES,
        "every row misses a value",
        "my.csv: every row misses a value (columns 'y', 'z'); data.missing=drop leaves none, interpolate fills them",
        table("day,y,z", row=lambda each: f"{day(each)},{each if each % 2 else ''},{'' if each % 2 else each}"),
        ("data.target=y", "data.features=z", "data.missing=drop"),
    ),
    Refusal(
        VALUES,
        "every training row misses a value",
        "my.csv: every training row misses a value; data.missing=drop leaves none, interpolate fills them",
        table(row=lambda each: f"{day(each)},{number(each) if each > 45 else ''}"),
        ("data.target=y", "data.missing=drop"),
    ),
    Refusal(
        VALUES,
        "training rows with more missing in a row than are filled",
        "my.csv: every training row misses a value that is not filled (columns 'y', 'z'; data.missing, data.max_gap)",
        table("day,y,z", row=lambda each: f"{day(each)},{'' if each % 2 else each},{each if each % 2 else ''}"),
        ("data.target=y", "data.features=z", "data.missing=interpolate", "data.max_gap=0"),
    ),
    Refusal(
        VALUES,
        "a column without a value, and nothing to be mended",
        "my.csv: column 'y' has no value from line 2 to 61; name another",
        table(row=lambda each: f"{day(each)},"),
        ("data.target=y",),
    ),
    Refusal(
        VALUES,
        "a column without a value",
        "my.csv: column 'y' has no value in any row; name another",
        table(row=lambda each: f"{day(each)},"),
        ("data.target=y", "data.missing=interpolate"),
    ),
    Refusal(
        VALUES,
        "infinity",
        "my.csv: line 8, column 'y': '-inf' is not finite; a missing value is an empty cell or NA",
        table(r7="2024-01-07,-inf"),
    ),
    Refusal(
        VALUES,
        "a number whose square is infinite",
        "my.csv: line 8, column 'y': '1e200' is beyond 1e+30; give the column in a larger unit",
        table(r7="2024-01-07,1e200"),
    ),
    Refusal(
        VALUES,
        "a target that never changes",
        "my.csv: column 'y' (data.target) is 5 in every row: there is nothing to predict",
        table(row=lambda each: f"{day(each)},5"),
    ),
    Refusal(
        VALUES,
        "a feature that never changes, asked for by name",
        "my.csv: column 'z' (data.features) is 5 in every row: it tells nothing",
        two_columns("{day},{number},5"),
        ("data.target=y", "data.features=z"),
    ),
    Refusal(
        VALUES,
        "a label missing",
        "my.csv: line 28, column 'kind': the value is missing; every row needs a label",
        labelled(lambda series, row: "" if (series, row) == (3, 2) else "ab"[series % 2]),
        LABELS,
    ),
    Refusal(
        VALUES,
        "a label that is marked as missing",
        "my.csv: line 9, column 'kind': the value is missing; every row needs a label",
        table("day,y,kind", row=lambda each: f"{day(each)},{number(each)},{'NA' if each == 7 else 'ab'[each % 2]}"),
        ("data.label=kind", "model=classifier", "data.horizon=null"),
    ),
    Refusal(
        VALUES,
        "a stamp twice, with two labels, and the mean asked for",
        "my.csv: line 21: 2024-01-19 00:00:00 comes twice, with the labels 'a' and 'b', which have no mean; "
        "data.duplicates=first or last keeps one",
        table("day,y,kind", row=lambda each: f"{day(each)},{number(each)},{'ab'[each % 2]}", r20="2024-01-19,4,b"),
        ("data.label=kind", "model=classifier", "data.horizon=null", "data.duplicates=mean"),
    ),
    Refusal(
        VALUES,
        "a number as a label that is too large",
        "my.csv: line 2, column 'kind': '1e39' is beyond 1e+30; give the column in a larger unit",
        table("day,y,kind", row=lambda each: f"{day(each)},{number(each)},{each + 1}e39"),
        ("data.label=kind", "model=regressor", "data.horizon=null"),
    ),
    Refusal(
        VALUES,
        "numbers as labels that never change",
        "my.csv: column 'kind' (data.label) is 5 everywhere: there is nothing to predict",
        table("day,y,kind", row=lambda each: f"{day(each)},{number(each)},5"),
        ("data.label=kind", "model=regressor", "data.horizon=null"),
    ),
    Refusal(
        VALUES,
        "numbers as labels that differ by less than float32 tells",
        "column 'kind': its changes are finer than float32 can hold; scale it (standard)",
        table("day,y,kind", row=lambda each: f"{day(each)},{number(each)},{1_000_000_000 + each % 3}"),
        ("data.label=kind", "model=regressor", "data.horizon=null", "data.scale_target=none"),
    ),
    Refusal(
        VALUES,
        "one class only",
        "my.csv: column 'kind' has one class only, 'a': there is nothing to tell apart",
        labelled(lambda *_: "a"),
        LABELS,
    ),
    Refusal(
        VALUES,
        "a label that changes within its series",
        "my.csv: line 7, series 's0', column 'kind': 'b' is another label than the series' first; "
        "data.label_per=window takes the last row's",
        labelled(lambda series, row: "ab"[(series + (row == 5)) % 2]),
        (*LABELS, "data.label_per=series"),
    ),
    Refusal(
        SIZE,
        "one line of 100 MB",
        "my.csv: its first line is longer than 1,048,576 bytes; a header names columns",
        one_long_line,
    ),
    Refusal(
        SIZE,
        "one cell of 100 MB",
        "my.csv: line 21: a cell is longer than 131,072 letters; is a quotation mark left open?",
        one_long_cell,
    ),
    Refusal(
        SIZE,
        "a window longer than the file",
        "my.csv: 42 rows reach the train split, and one window needs 1000000000003 (data.window=1000000000000 + "
        "data.horizon=3)",
        DAYS,
        ("data.window=1000000000000",),
    ),
    Refusal(
        SIZE,
        "a window longer than any file",
        "data.window=1000000000000000000000000000000: must be at most 1,000,000,000,000,000",
        DAYS,
        ("data.window=1000000000000000000000000000000",),
    ),
    Refusal(
        SIZE,
        "a batch larger than the memory (here of 1 GB)",
        "data.batch_size=1000000 × data.window=10000 + data.horizon=3: one batch needs 1.2 GB, and this machine has "
        "1.0 GB",
        table("y", rows=30_000, row=number),
        ("data.batch_size=1000000", "data.window=10000"),
        memory=10**9,
    ),
    Refusal(
        SIZE,
        "a series shorter than a window",
        "my.csv: 1 of 3 series have fewer than 15 rows ('c'); one window needs so many (data.window=12 + "
        "data.horizon=3); data.short=skip leaves them out",
        shops(60, 60, 14),
        ("data.group=shop", "data.target=y"),
    ),
    Refusal(
        SIZE,
        "a stamp of the year 9999, and the rows before it to be put in",
        "my.csv: 69,907,357 absent rows of 1h are too many to put in, most of them before line 61 (9999-01-01 00:00:00)"
        "; lower data.max_gap",
        hourly(r60="9999-01-01 00:00:00,1"),
        ("data.missing=interpolate", "data.max_gap=100000000"),
    ),
    Refusal(
        SIZE,
        "a page of text as a label",
        "my.csv: line 10, column 'kind': 'a page of text a page of text a page of text a page of text... is longer "
        "than 1,000 letters (7 more such cells below)",
        labelled(lambda series, _: "a page of text " * 100 if series == 1 else "a"),
        LABELS,
    ),
    Refusal(
        SPLITS,
        "shares that leave nothing",
        "data.val_share=0.6 and data.test_share=0.5 leave no rows to train on",
        DAYS,
        ("data.val_share=0.6", "data.test_share=0.5"),
    ),
    Refusal(
        SPLITS,
        "dates that overlap",
        "data.val_from=2024-02-20 must come before data.test_from=2024-02-10",
        DAYS,
        ("data.val_from=2024-02-20", "data.test_from=2024-02-10"),
    ),
    Refusal(
        SPLITS,
        "one date of two",
        "data.val_from=2024-02-10: say where the other part begins, with data.test_from=",
        DAYS,
        ("data.val_from=2024-02-10",),
    ),
    Refusal(
        SPLITS,
        "a date after the last row",
        "data.val_from=2030-01-01: the last row of my.csv is of 2024-02-29",
        DAYS,
        ("data.val_from=2030-01-01", "data.test_from=2031-01-01"),
    ),
    Refusal(
        SPLITS,
        "a date with the day first",
        "data.val_from=10.02.2024: is no date; write it as 2024-01-31 or '2024-01-31 13:00'",
        DAYS,
        ("data.val_from=10.02.2024", "data.test_from=20.02.2024"),
    ),
    Refusal(
        SPLITS,
        "a class in later rows only",
        "my.csv: the class 'c' of column 'kind' has no example in the training split",
        table("day,y,kind", row=lambda each: f"{day(each)},{number(each)},{'c' if each > 55 else 'ab'[each % 2]}"),
        ("data.label=kind", "model=classifier", "data.horizon=null"),
    ),
    Refusal(
        ROLES,
        "no such column",
        "my.csv: has no column 'Y' (data.target); did you mean 'y'? (known: day, y)",
        DAYS,
        ("data.target=Y",),
    ),
    Refusal(
        ROLES,
        "several columns, and none named",
        "my.csv: say which column to predict with data.target=; columns: y, z",
        two_columns(),
    ),
    Refusal(
        ROLES,
        "the target among its own features",
        "data.features: 'y' is data.target; its past is among the inputs already",
        two_columns(),
        ("data.target=y", "data.features=[y,z]"),
    ),
    Refusal(
        ROLES,
        "one column for two uses",
        "my.csv: column 'y' is both data.target and data.time; a column has one use",
        two_columns(),
        ("data.target=y", "data.time=y"),
    ),
    Refusal(
        ROLES,
        "a label for a forecaster",
        "data.label=z: a forecaster has no label; say model=classifier or regressor",
        two_columns(),
        ("data.label=z",),
    ),
    Refusal(
        ROLES,
        "a classifier without labels",
        "model=classifier: needs labels: say their column with data.label=",
        DAYS,
        ("model=classifier", "data.horizon=null"),
    ),
    Refusal(
        SETTINGS,
        "a choice misspelt",
        "data.missing=interpolat: did you mean 'interpolate'? (known: drop, error, forward_fill, interpolate)",
        DAYS,
        ("data.missing=interpolat",),
    ),
    Refusal(
        SETTINGS,
        "a number out of range",
        "data.max_gap=-1: must be at least 0",
        DAYS,
        ("data.max_gap=-1",),
    ),
    Refusal(
        SETTINGS,
        "a scaling misspelt",
        "data.scale_target=standart: did you mean 'standard'? (known: minmax, none, per_series, robust, standard)",
        DAYS,
        ("data.scale_target=standart",),
    ),
    Refusal(
        SETTINGS,
        "a feature of the calendar twice",
        "data.calendar=[hour, hour]: hour is named twice; once is enough",
        DAYS,
        ("data.calendar=[hour,hour]",),
    ),
    Refusal(
        SETTINGS,
        "a frequency that could be minutes or months",
        "data.frequency=1M: write a number and a unit, as in 15m, 1h, 1d, 1w, 1mo, 1q, 1y (m is minutes, mo months), "
        "or none for windows by row order",
        DAYS,
        ("data.frequency=1M",),
    ),
    Refusal(
        SETTINGS,
        "a calendar of rows without stamps",
        "data.calendar=[hour]: my.csv has no time stamps (data.time)",
        table("y", row=number),
        ("data.calendar=[hour]",),
    ),
    Refusal(
        SETTINGS,
        "a file for a data set that is built in",
        "data.path=my.csv: the data set sunspots is built in and takes no path; did you mean data=csv "
        "data.path=my.csv?",
        keys=("data=sunspots", "data.path=my.csv"),
    ),
)
