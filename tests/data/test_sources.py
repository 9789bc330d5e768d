"""Files and frames as rows: every dialect that can be read is read as a slow and obvious twin reads it."""

import csv
import gzip
import io
import math
import re
from unittest import mock

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flatspot.data import sources
from flatspot.data.mending import Mending
from flatspot.data.read import read_rows
from flatspot.data.roles import choose_roles
from flatspot.data.sources import MISSING, CsvFile, Frame, ParquetFile, as_source, source_of
from flatspot.data.tables import read_table
from flatspot.errors import BadInput

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity|nan)", re.ASCII | re.IGNORECASE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


def write(folder, content, name="my.csv"):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path, **options):
    return read_table(path, time="none", anew="target" in options, **options)  # anew: a constant column is no matter


# The twin: Python's csv module and float(), cell by cell.


class UnreadableError(Exception):
    pass


def number_of(cell):
    cell = cell.strip(" \t")
    if cell in MISSING:
        return math.nan
    if not NUMBER.fullmatch(cell):
        raise UnreadableError(cell)
    number = float(cell)
    if math.isinf(number) or abs(number) > 1e30:
        raise UnreadableError(cell)
    return number


def twin(text, separator, targets):
    """The numbers of the columns, row by row."""
    header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    stripped = [name.strip() for name in header]
    names = stripped if len(set(stripped)) == len(set(header)) else header
    one = len(names) == 1
    rows = [row for row in rows if any(row) or (row and one) or len(row) > len(names)]
    if len(set(names)) < len(names) or any(len(row) != len(names) for row in rows) or not rows:
        raise UnreadableError
    return [[number_of(row[names.index(target)]) for target in targets] for row in rows]


def same(panel, expected):
    np.testing.assert_array_equal(panel.values, np.array(expected).reshape(panel.values.shape))
    return True


NAMES = st.sampled_from(
    ["y", "z", "day", "größe", "売上", "a b", " y", "Y", 'the "best"', "a,b", "a;b", "2019", "#", "", "x\ty", "it's"]
) | st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=6)
NUMBERS = (
    st.floats().map(repr)
    | st.floats(-1e6, 1e6).map(repr)
    | st.floats(-1e6, 1e6).map(lambda number: f"{number:.2f}")
    | st.integers().map(str)
    | st.sampled_from(["1e30", "-1E5", "+.5", "5.", "007", "1e-400", "1e400", "0.1e1", "-0"])
)
OTHERS = st.sampled_from([*MISSING, "n.a.", "x", "3,5", "1_000", "0x10", "2024-01-01", "a\nb", 'say "so"', "TRUE", "é"])
SPACED = st.tuples(NUMBERS, st.sampled_from(["", " ", "  "]), st.sampled_from(["", " ", "\t"]))
CELLS = {
    "numbers": NUMBERS,
    "with holes": NUMBERS | st.sampled_from(MISSING),
    "spaced": SPACED.map(lambda parts: f"{parts[1]}{parts[0]}{parts[2]}"),
    "anything": NUMBERS | OTHERS,
}


@st.composite
def tables(draw, names=NAMES, kinds=tuple(CELLS), *, whole=False):
    """The text of a table, its separator, how it is packed, and columns to read.

    Args:
        whole: each row has a cell a column.
    """
    header = draw(st.lists(names, min_size=1, max_size=4, unique=whole))
    columns = [CELLS[draw(st.sampled_from(kinds))] for _ in header]
    rows = draw(st.lists(st.tuples(*columns).map(list), max_size=8, min_size=int(whole)))
    if rows and not whole and draw(st.integers(0, 9)) == 0:
        ragged = draw(st.sampled_from(rows))
        ragged.append("4") if draw(st.booleans()) else ragged.pop()
    separator = draw(st.sampled_from(",;\t|"))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows([header, *rows])
    text = out.getvalue() + draw(st.sampled_from(["", end, end + end]))
    named = [name.strip() for name in header]
    targets = draw(st.lists(st.sampled_from(named), min_size=1, max_size=len(set(named)), unique=True))
    return text, separator, draw(st.sampled_from(["", "bom", "gz"])), targets


def packed(folder, text, packing):
    content = text.encode("utf-8-sig" if packing == "bom" else "utf-8")
    return write(folder, gzip.compress(content) if packing == "gz" else content)


@settings(max_examples=100)
@given(made=tables(), missing=st.sampled_from(["error", "interpolate"]))
def test_a_random_table_round_trips_or_is_refused_by_name(folder, made, missing):
    text, separator, packing, targets = made
    path = packed(folder, text, packing)
    try:
        panel = read(path, target=targets, mending=Mending(missing=missing))
    except BadInput as refused:
        assert str(path) in str(refused)
        assert all(line.startswith(("  also ", "  and ")) for line in str(refused).split("\n")[1:])
    else:
        assert panel.columns == tuple(targets)
        assert same(panel, twin(text, separator, targets))


PLAIN = st.sampled_from(["y", "z", "größe", "a b", 'the "best"', "売上"])


@settings(max_examples=100)
@given(tables(PLAIN, ("numbers", "with holes", "spaced"), whole=True))
def test_what_the_twin_can_read_is_read(folder, made):
    text, separator, packing, targets = made
    path = packed(folder, text, packing)
    try:
        expected = twin(text, separator, targets)
    except UnreadableError:
        with pytest.raises(BadInput, match=re.escape(str(path))):
            read(path, target=targets, mending=Mending(missing="interpolate"))
    else:
        assert same(read(path, target=targets, mending=Mending(missing="interpolate")), expected)


def no_quick_way(*_, **__):
    yield from ()
    raise pl.exceptions.ComputeError("not here")


@settings(max_examples=80)
@given(made=tables(PLAIN, ("numbers", "with holes"), whole=True), missing=st.booleans())
def test_the_quick_way_and_the_slow_way_read_the_same(folder, made, missing):
    text, _, packing, targets = made
    source = source_of(packed(folder, text, packing))

    def outcome():
        try:
            roles = choose_roles(source, target=targets, time="none")
            return np.concatenate(read_rows(source, roles, missing=missing).blocks).tolist()
        except BadInput as refused:
            return str(refused)

    quick = outcome()
    with mock.patch.object(CsvFile, "typed", no_quick_way):
        assert repr(outcome()) == repr(quick)  # NaN is not NaN


@settings(max_examples=200)
@given(content=st.binary(max_size=60) | st.text('ab1,;"\n\r \0\t.-é', max_size=40).map(str.encode))
@example(b"PAR1")
@example(b"PAR1" + bytes(20) + b"PAR1")
@example(b"\x1f\x8b")
@example(b"\x1f\x8b\x08" + bytes(20))
@example(b"PK\x03\x04")
@example(b"\xef\xbb\xbf")
@example(b'"')
@example(b'"\n')
@example(b"a\rb\r1")
@example(b'a,b\n3"x,4\n')
def test_random_bytes_are_read_or_refused_by_name(folder, content):
    path = write(folder, content)
    try:
        panel = read(path)
    except BadInput as refused:
        assert str(path) in str(refused)
        assert all(line.startswith(("  also ", "  and ")) for line in str(refused).split("\n")[1:])
    else:
        assert np.isfinite(panel.values).all()


@settings(max_examples=100)
@given(place=st.integers(0, 10**6), byte=st.integers(0, 255), kind=st.sampled_from(["parquet", "gz"]))
def test_a_damaged_file_is_read_or_refused_by_name(folder, place, byte, kind):
    whole = pl.DataFrame({"y": np.arange(50.0), "z": ["a"] * 50})
    path = folder / f"damaged.{kind}"
    if kind == "parquet":
        whole.write_parquet(path)
    else:
        path.write_bytes(gzip.compress(whole.write_csv().encode(), mtime=0))
    content = bytearray(path.read_bytes())
    content[place % len(content)] = byte
    path.write_bytes(content)
    try:
        read(path, target="y")
    except BadInput as refused:
        assert str(path) in str(refused) or "data.target" in str(refused)


COLUMNS = {
    pl.Float64: st.floats(-1e30, 1e30),
    pl.Float32: st.floats(-(2.0**99), 2.0**99, width=32),
    pl.Int64: st.integers(-(2**53), 2**53),
    pl.UInt8: st.integers(0, 255),
    pl.Boolean: st.booleans(),
    pl.String: st.floats(-1e30, 1e30).map(repr),
}


@st.composite
def frames(draw):
    kinds = draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=3))
    rows = draw(st.integers(1, 6))
    cells = [draw(st.lists(st.none() | COLUMNS[kind], min_size=rows, max_size=rows)) for kind in kinds]
    return pl.DataFrame(
        [pl.Series(f"c{n}", cell, kind) for n, (kind, cell) in enumerate(zip(kinds, cells, strict=True))]
    )


@settings(max_examples=60)
@given(frames())
def test_typed_columns_round_trip_from_a_frame_and_from_parquet(folder, frame):
    path = folder / "my.parquet"
    frame.write_parquet(path)
    expected = frame.select(pl.all().cast(pl.Float64)).fill_null(math.nan).to_numpy()
    for data in (frame, path, frame.to_dict()):
        panel = read(data, target=frame.columns, mending=Mending(missing="interpolate"))
        np.testing.assert_array_equal(panel.values, expected)


# One by one.


@pytest.mark.parametrize(
    "text",
    [
        "y,z\n1,2\n3,4\n",
        "y,z\n1,2\n3,4",
        "y,z\r\n1,2\r\n3,4\r\n",
        "y;z\n1;2\n3;4\n",
        "y\tz\n1\t2\n3\t4\n",
        "y|z\n1|2\n3|4\n",
        '"y","z"\n"1","2"\n"3","4"\n',
        " y , z\n1,2\n3,4\n",
        "y,z\n\n1,2\n3,4\n",
        "y,z\n 1 , 2\n3,\t4\n",
        "y,z\n1,2\n\n3,4\n\n",
        "y,z\n1,2\n,\n3,4\n,\n",
        '\ufeff"y",z\n1,2\n3,4\n',
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_the_same_rows_in_every_dialect(folder, text, zipped):
    content = text.encode()
    panel = read(write(folder, gzip.compress(content) if zipped else content), target=["y", "z"])
    assert panel.columns == ("y", "z")
    assert panel.values.tolist() == [[1, 2], [3, 4]]


def test_several_gzipped_parts_are_one_file(folder):
    path = write(folder, gzip.compress(b"y\n1\n2\n") + gzip.compress(b"3\n"))
    assert read(path).values.ravel().tolist() == [1, 2, 3]


def test_a_marked_value_of_one_column_is_a_row_and_a_blank_line_is_none(folder):
    path = write(folder, 'y\n1\n\nNA\n""\n4\n')
    values = read(path, mending=Mending(missing="interpolate")).values.ravel()
    np.testing.assert_array_equal(values, [1, math.nan, math.nan, 4])
    with pytest.raises(BadInput, match=r"line 4, column 'y': the value is missing.*\(1 more such cell below\)"):
        read(path)


def test_a_line_break_in_a_quoted_cell_is_no_row(folder):
    path = write(folder, 'at,y\n"here\nand\n\nthere",1\nthere,2\nthere,oops\n')
    with pytest.raises(BadInput, match="line 7, column 'y': 'oops' is not a number"):
        read(path, target="y")


def test_lines_of_a_note_with_as_many_commas_as_a_row_are_no_rows(folder):
    path = write(folder, 'y,note\n1,"so, so\nwell, well\n3 of them, I think"\n2,\n')
    assert read(path, target="y").values.ravel().tolist() == [1, 2]


def test_a_long_cell_of_many_lines_that_nobody_reads_is_no_matter(folder):
    rows = [f"{number},{number}" for number in range(60)]
    rows[5] = '5,"' + "\n".join(["x" * 100] * 2000) + '"'
    path = write(folder, "y,note\n" + "\n".join(rows) + "\n")
    before = csv.field_size_limit()
    assert read(path, target="y").values.ravel().tolist() == list(range(60))
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("zipped", [False, True])
def test_two_stray_quotation_marks_swallow_no_rows(folder, zipped):
    text = 's,y,z\na,1,1\n",2,1\n"a",3,1\na,4,1\na,5,1\n5",6,1\na,7,1\n'
    path = folder / "my.csv"
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    for options in ({"target": "y", "group": "s"}, {"target": "y"}):
        with pytest.raises(BadInput, match="line 3: a cell with a quotation mark stands in quotes, and the mark is"):
            read(path, **options)


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ('"the ""best""",y', ['the "best"', "y"]),
        ("a b,y", ["a b", "y"]),
        ('"a,b",y', ["a,b", "y"]),
        ('größe,"y"', ["größe", "y"]),
        (",y", ["", "y"]),
    ],
)
def test_names_as_they_are_meant(folder, header, columns):
    path = write(folder, f"{header}\n1,2\n3,4\n")
    assert source_of(path).columns == columns
    assert read(path, target=columns).values.tolist() == [[1, 2], [3, 4]]


def test_two_columns_that_differ_by_spaces_keep_them(folder):
    assert source_of(write(folder, "y, y\n1,2\n")).columns == ["y", " y"]


def test_an_unnamed_column_is_read_only_on_request(folder):
    path = write(folder, ",y\n0,5\n1,6\n")
    assert read(path).columns == ("y",)
    assert read(path, target="y", features="all").columns == ("y",)
    assert read(path, target="y", features=[""]).columns == ("y", "")


def test_what_a_path_holds_is_told_by_its_content(folder):
    pl.DataFrame({"y": [1, 2]}).write_parquet(folder / "[odd]*.csv")
    assert isinstance(source_of(folder / "[odd]*.csv"), ParquetFile)
    assert read(folder / "[odd]*.csv").values.ravel().tolist() == [1, 2]
    assert isinstance(source_of(write(folder, "y\n1\n", "[odd].txt")), CsvFile)
    assert read(folder / "[odd].txt").values.ravel().tolist() == [1]


def test_frames_and_what_polars_makes_one_of():
    for data in (pl.DataFrame({"y": [1, 2]}), {"y": [1, 2]}, [{"y": 1}, {"y": 2}]):
        assert isinstance(as_source(data), Frame)
        panel = read(data)
        assert panel.values.ravel().tolist() == [1, 2]
        assert panel.name == "the frame"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (3, "the frame: polars makes no table of a int"),
        (pl.DataFrame(), "the frame: has no column of numbers"),
        (pl.DataFrame({"y": []}), "the frame: has no column of numbers|the frame: has no rows"),
        (pl.DataFrame({"y": [b"1"]}), "the frame: has no column of numbers"),
    ],
)
def test_what_is_no_frame(data, told):
    with pytest.raises(BadInput, match=told):
        read(data)


@pytest.mark.parametrize("kind", [pl.Time, pl.Duration("us"), pl.List(pl.Int64), pl.Categorical, pl.Binary, pl.Date])
def test_columns_of_other_types_are_refused_by_name_in_every_role(kind):
    frame = pl.DataFrame([pl.Series("y", [1.0, 2.0]), pl.Series("odd", [None, None], dtype=kind)])
    for role in ("target", "time", "group", "label"):
        options = {"target": "y"} if role in {"time", "group"} else {}
        with pytest.raises(BadInput, match="'odd'"):
            read_table(frame, **options, **{role: "odd"}, anew=role != "label")


def test_text_around_it_is_a_cells_own(folder):
    path = write(folder, "shop,y\n a ,1\na,2\n b,3\n")
    assert read(path, target="y", group="shop").series == ("a", "b")


# Compressed bombs


@pytest.fixture
def wary(monkeypatch):
    """Of files that a test can make in a moment."""
    monkeypatch.setattr(sources, "FREELY", 2**18)


BOMBS = {
    "rows": b"y\n2\n" + b"1\n" * 2**20,
    "blank lines": b"y\n2\n" + b"\n" * 2**21,
    "one long cell": b"y\n1\n2\n" + b"1" * 2**21,
    "one long quoted cell": b'y\n1\n2\n"' + b"1\n" * 2**20,
    "many columns": b",".join(b"y%d" % each for each in range(9)) + b"\n" + b"1,1,1,1,1,1,1,1,1\n" * 2**17,
    "ragged": b"y,z\n1,2\n1\n" + b"1,1\n" * 2**19,
    "words": b"y\nword\n" + b"1\n" * 2**20,
}


@pytest.mark.usefixtures("wary")
@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("missing", ["error", "interpolate"])
def test_a_gzipped_file_that_would_fill_the_memory_is_refused(folder, bomb, missing, monkeypatch):
    path = write(folder, gzip.compress(BOMBS[bomb]), "bomb.csv.gz")
    unpacked = []
    meant = sources._refuse_inflated
    monkeypatch.setattr(
        sources, "_refuse_inflated", lambda path, size, what="": (unpacked.append(size), meant(path, size, what))
    )
    with pytest.raises(BadInput, match=r"bomb.csv.gz: unpacks to more than \d+ MB, [\d,]+ times the file's size"):
        read_table(path, target="y" if "many" not in bomb else "y1", mending=Mending(missing=missing))
    assert max(unpacked) <= 2**18 + sources.STRETCH  # no more of it than was needed to tell


@pytest.mark.usefixtures("wary")
@pytest.mark.parametrize("values", [np.zeros(2**20), np.zeros(2**20, np.int8), ["x"] * 2**20])
def test_a_parquet_file_that_would_fill_the_memory_is_refused(folder, values):
    path = folder / "bomb.parquet"
    pl.DataFrame({"y": values}).write_parquet(path)
    assert path.stat().st_size < 2**15
    with pytest.raises(BadInput, match=r"bomb.parquet: unpacks to more than 8 MB, [\d,]+ times the file's size"):
        read(path)


@pytest.mark.parametrize("cell", ["x" * 2**17, ["x" * 2**10] * 2**7, b"x" * 2**17], ids=["text", "list", "bytes"])
def test_a_parquet_file_of_few_huge_cells_is_refused(folder, cell):
    """Of so many rows no number would tell it."""
    path = folder / "bomb.parquet"
    pl.DataFrame({"y": np.arange(1500), "note": [cell] * 1500}).write_parquet(path)
    assert path.stat().st_size < 2**20
    with pytest.raises(BadInput, match=r"bomb.parquet: its column 'note' unpacks to more than [\d,]+ MB"):
        read(path, target="y")


@pytest.mark.usefixtures("wary")
def test_measurements_that_are_compressed_well_are_none(folder):
    """Of 30 times their size, and larger than what any file may come to."""
    steps = np.arange(2**17)
    content = "y\n" + "\n".join(f"{value:.1f}" for value in np.round(np.sin(steps / 200), 1)) + "\n"
    path = write(folder, gzip.compress(content.encode()), "slow.csv.gz")
    assert 30 < len(content) / path.stat().st_size < sources.INFLATED
    assert len(content) > sources.FREELY
    assert read(path).rows == len(steps)
