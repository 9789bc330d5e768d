"""What is wrong with a file is said in one message, each fault by the line that it stands on."""

import gzip
import pickle
from datetime import date, datetime, timedelta

import polars as pl
import pytest

from flatspot.data.mending import Mending
from flatspot.data.tables import read_table
from flatspot.errors import BadInput


def days(count=40):
    """The lines of a file of days, its header the first."""
    return ["day,y,z", *(f"{date(2024, 1, 1) + timedelta(each)},{each % 7},{each % 5}" for each in range(count))]


def refused(tmp_path, lines, name="my.csv", **keys):
    """What is said of the file, a line each, without its name."""
    text = "\n".join([*lines, ""]).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    with pytest.raises(BadInput) as error:
        read_table(path, target="y", **({"features": ["z"]} | keys))
    told = str(error.value)
    assert told.startswith(f"{path}: ")
    return told.removeprefix(f"{path}: ").split("\n")


def beginnings(told):
    return [line.partition(";")[0] for line in told]


def with_many_faults():
    lines = days()
    lines[7] = "2024-01-07,seven,1"
    lines[9], lines[11] = "2024-01-09,,1", "2024-01-11,NA,1"
    lines[14] = "2024-01-14,1,inf"
    lines[20], lines[21] = lines[21], lines[20]
    lines.insert(30, lines[29])
    del lines[36:38]
    return lines


FOUND = [
    "line 8, column 'y': 'seven' is not a number",
    "  also line 10, column 'y': the value is missing",
    "  also line 15, column 'z': 'inf' is not finite",
    "  also line 22: 2024-01-20 00:00:00 comes before the row before it (1 such row)",
    "  also line 31: 2024-01-29 00:00:00 comes twice (1 such row)",
    "  also line 37: 2 absent rows of 1d before 2024-02-06 00:00:00 (1 such gap)",
]


def test_all_faults_are_told_in_the_order_of_the_file_each_with_what_mends_it(tmp_path):
    told = refused(tmp_path, with_many_faults())
    assert beginnings(told) == FOUND
    mends = ["NA", "data.missing=", "NA", "data.unsorted=sort", "data.duplicates=first", "data.missing=interpolate"]
    assert all(mend in line for mend, line in zip(mends, told, strict=True))
    assert told[1].endswith("(1 more such cell below)")
    assert [line for line in told if "data.group=" in line] == [told[4]]


def test_each_is_what_is_told_once_the_others_are_mended(tmp_path):
    lines = with_many_faults()
    mended = [line.replace("seven", "7").replace("inf", "3") for line in lines]
    told = refused(tmp_path, mended, mending=Mending(missing="interpolate"))
    assert [f"  also {told[0].partition(';')[0]}", *beginnings(told)[1:]] == FOUND[3:5]
    sorted_too = Mending(missing="interpolate", unsorted="sort")
    assert beginnings(refused(tmp_path, mended, mending=sorted_too)) == [FOUND[4].removeprefix("  also ")]
    panel = read_table(
        tmp_path / "my.csv",
        target="y",
        features=["z"],
        mending=Mending(missing="interpolate", unsorted="sort", duplicates="first"),
    )
    assert panel.rows == 40


def test_the_first_eight_are_listed(tmp_path):
    names = [f"c{each}" for each in range(12)]
    lines = [",".join(["y", *names]), *(",".join(["1", *[str(each)] * 12]) for each in range(20))]
    lines[5] = ",".join(["1", *["oops"] * 12])
    told = refused(tmp_path, lines, features="all")
    assert len(told) == 9
    assert told[0].startswith("line 6, column 'c0': 'oops' is not a number")
    assert told[7].startswith("  also line 6, column 'c7': 'oops'")
    assert told[8] == "  and 4 more"


def test_without_all_stamps_and_names_nothing_is_said_of_their_order(tmp_path):
    lines = with_many_faults()
    lines[25] = ",1,1"
    told = refused(tmp_path, lines)
    assert beginnings(told) == [*FOUND[:3], "  also line 26, column 'day': the value is missing"]
    shops = ["shop,day,y,z", *(f"{'ab'[each % 2]},{line}" for each, line in enumerate(days()[1:]))]
    shops[3], shops[4] = "," + shops[3][2:], shops[4].replace(",3,", ",oops,")
    told = refused(tmp_path, shops, group="shop")
    assert beginnings(told) == [
        "line 4, column 'shop': the value is missing",
        "  also line 5, column 'y': 'oops' is not a number",
    ]


def test_where_a_clock_was_put_back_nothing_more_is_said_of_the_order(tmp_path):
    stamps = [datetime(2024, 10, 26) + timedelta(minutes=30 * each) for each in range(80)]
    stamps[54:] = [each - timedelta(hours=1) for each in stamps[54:]]
    lines = ["at,y,z", *(f"{each},{number % 7},{number % 5}" for number, each in enumerate(stamps))]
    lines[10] = lines[10].rpartition(",")[0] + ","
    told = refused(tmp_path, lines)
    assert len(told) == 2
    assert "the value is missing" in told[0]
    assert "as by a clock put back for winter" in told[1]


def test_a_file_of_several_series_is_told_of_those_and_not_of_gaps(tmp_path):
    lines = days()
    several = [*lines, *(lines[1:20])]
    told = refused(tmp_path, several)
    assert [line.partition(" (")[0] for line in told] == [
        "line 42: 2024-01-01 00:00:00 comes before the row before it",
        "  also line 42: 2024-01-01 00:00:00 comes twice",
    ]
    assert [line for line in told if "data.group= names their column" in line] == [told[1]]


def test_rows_are_numbered_where_there_are_no_lines(tmp_path):
    frame = pl.DataFrame({"y": [1.0, None, 3.0], "z": [1.0, 2.0, float("inf")]})
    frame.write_parquet(tmp_path / "my.parquet")
    for source in (frame, tmp_path / "my.parquet"):
        with pytest.raises(BadInput) as error:
            read_table(source, target="y", features=["z"])
        first, second = str(error.value).split("\n")
        assert "row 2, column 'y': the value is missing" in first
        assert "row 3, column 'z': inf is not finite" in second


LINES = {
    "plain": ["y,z", "1,2", "3,4", "oops,6"],
    "blank lines": ["y,z", "", "1,2", "", "", "3,4", "oops,6"],
    "lines of nothing": ["y,z", "1,2", ",", "3,4", ",", "oops,6"],
    "line breaks in cells": ["y,z,note", '1,2,"so', 'and so"', '3,4,"a', "", 'b"', "oops,6,so"],
    "its own line breaks": ["y,z,note", "1,2,so", '3,4,"a', 'b"', 'oops,6,"one', 'two"'],
    "one column": ["y", "1", "", '""', "oops"],
    "quotes": ["y;z", '"1";"2"', '"oops";"2"'],
    "old line ends": ["y,z\r", "1,2\r", ",\r", "oops,6\r"],
}


@pytest.mark.parametrize("name", ["my.csv", "my.csv.gz"])
@pytest.mark.parametrize("lines", LINES.values(), ids=LINES.keys())
def test_a_line_is_the_one_that_an_editor_shows(tmp_path, lines, name):
    where = 1 + next(number for number, line in enumerate(lines) if "oops" in line)
    columns = lines[0].strip()
    told = refused(tmp_path, lines, name, features=["z"] if "z" in columns else [], mending=Mending(missing="drop"))
    assert told == [f"line {where}, column 'y': 'oops' is not a number; a missing value is an empty cell or NA"]


def test_the_line_of_a_stamp_counts_blank_ones_too(tmp_path):
    lines = days()
    lines.insert(30, lines[29])
    lines[3:3] = ["", ""]
    told = refused(tmp_path, lines)
    assert told[0].startswith("line 33: 2024-01-29 00:00:00 comes twice")


def test_far_down_a_long_file_cells_are_counted_over_all_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr("flatspot.data.sources.BATCH", 10)
    lines = ["y,z", *(f"{each % 7},{each % 5}" for each in range(2000))]
    for line in (500, 1200, 1999):
        lines[line] = "oops,1"
    assert refused(tmp_path, lines) == [
        "line 501, column 'y': 'oops' is not a number; a missing value is an empty cell or NA (2 more such cells below)"
    ]


def test_other_processes_hear_all_of_it(tmp_path):
    path = tmp_path / "my.csv"
    path.write_text("\n".join([*with_many_faults(), ""]))
    with pytest.raises(BadInput) as error:
        read_table(path, target="y", features=["z"])
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)  # noqa: S301 - our own
