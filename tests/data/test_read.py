from pathlib import Path

import numpy as np
import pytest

from flatspot.data.datasets import DATASETS, sunspots
from flatspot.data.read import read_csv
from flatspot.errors import BadInput

SHARED = Path(__file__).parents[3] / "shared" / "data"
has_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real series beside the repository are not here")


@pytest.fixture
def csv(tmp_path):
    def write(text):
        path = tmp_path / "my.csv"
        path.write_text(text)
        return path

    return write


GOOD = "day,sales,price,shop\n2024-01-01,3,1.5,a\n2024-01-02,4,1.6,b\n2024-01-03,5,1.7,a\n"


def test_target_features_and_time_are_read(csv):
    series = read_csv(csv(GOOD), target="sales", features=["price"], time="day")
    assert series.columns == ("sales", "price")
    assert series.targets == ("sales",)
    np.testing.assert_array_equal(series.values, [[3, 1.5], [4, 1.6], [5, 1.7]])
    assert str(series.times[0]) == "2024-01-01T00:00:00.000000"


def test_the_date_column_is_found_by_itself(csv):
    assert read_csv(csv(GOOD), target="sales").times is not None


def test_all_number_columns_can_be_asked_for(csv):
    assert read_csv(csv(GOOD), target="price", features="all").columns == ("price", "sales")


def test_the_only_number_column_is_the_target(csv):
    assert read_csv(csv("day,y\n2024-01-01,1\n2024-01-02,2\n")).columns == ("y",)


def test_without_dates_rows_are_in_order(csv):
    series = read_csv(csv("y\n3\n1\n2\n"))
    assert series.times is None
    np.testing.assert_array_equal(series.values[:, 0], [3, 1, 2])


@pytest.mark.parametrize(
    "stamps",
    [
        ("2024-01-01", "2024-01-02"),
        ("2024-01-01 10:00", "2024-01-01 11:00"),
        ("2024-01-01 10:00:00", "2024-01-01 11:00:00"),
        ("2024-01-01T10:00:00", "2024-01-01T11:00:00"),
        ("2024-01-01T10:00:00Z", "2024-01-01T11:00:00Z"),
        ("2024-01-01 10:00:00.250", "2024-01-01 10:00:00.500"),
        ("2024/01/01", "2024/01/02"),
        ("2024-01", "2024-02"),
        ("2024-01-01T10:00:00.000000Z", "2024-01-01T10:00:00.000001Z"),
        ("2024-01-01T10:00:00+02:00", "2024-01-01T09:00:00+00:00"),
    ],
)
def test_time_stamps_in_the_usual_forms(csv, stamps):
    series = read_csv(csv(f"t,y\n{stamps[0]},1\n{stamps[1]},2\n"), time="t")
    assert series.times[0] < series.times[1]


def test_a_first_date_that_cannot_be_read_is_named_and_not_ignored(csv):
    text = "day,y\n2024-13-01,1\n2024-01-02,2\n2024-01-03,3\n"
    with pytest.raises(BadInput, match=r"row 1, column 'day': '2024-13-01' cannot be read as a date"):
        read_csv(csv(text))
    assert read_csv(csv(text), time="none").times is None


def test_a_blank_line_is_no_row(csv):
    assert len(read_csv(csv(GOOD + "\n"), target="sales").values) == 3


def test_one_feature_needs_no_brackets(csv):
    assert read_csv(csv(GOOD), target="sales", features="price").columns == ("sales", "price")


def test_numbers_are_not_taken_for_dates(csv):
    assert read_csv(csv("a,b\n1.5,2024.25\n2.5,2024.5\n"), target="a").times is None


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("", {}, "the file is empty"),
        ("day,y\n", {}, "has a header line and no rows"),
        (GOOD, {"target": "sale"}, r"has no column 'sale' \(data.target\); did you mean 'sales'\?"),
        (GOOD, {"target": "sales", "time": "date"}, r"has no column 'date' \(data.time\)"),
        (GOOD, {"target": "sales", "features": ["prize"]}, r"'prize' \(data.features\); did you mean 'price'\?"),
        (GOOD, {}, r"say which column to predict with data.target=; columns: sales, price"),
        ("day,y\n2024-01-01,1\n2024-01-02,oops\n", {"target": "y"}, "row 2, column 'y': 'oops' is not a number"),
        ("day,y\n2024-01-01,1\n2024-01-02,\n", {"target": "y"}, "row 2, column 'y': the value is missing"),
        ("day,y\n2024-01-01,1\n2024-01-02,NaN\n", {"target": "y"}, "row 2, column 'y': 'NaN' is not finite"),
        ("day,y\n2024-01-01,inf\n2024-01-02,1\n", {"target": "y"}, "row 1, column 'y': 'inf' is not finite"),
        ("day,y\n2024-01-01,x\n2024-01-02,x\n2024-01-03,x\n", {"target": "y"}, r"\(2 more such cells"),
        (
            "day,y\n2024-01-01,1\n2024-13-02,2\n",
            {"time": "day"},
            "row 2, column 'day': '2024-13-02' cannot be read as a",
        ),
        ("day,y\nsoon,1\nlater,2\n", {"time": "day"}, "row 1, column 'day': 'soon' cannot be read as a date"),
        ("day,y\n31.12.2023,1\n01.01.2024,2\n", {}, "column 'day' looks like dates, but '31.12.2023' cannot be read"),
        ("day;y\n2024-01-01;1\n", {}, "seems to be separated by semicolons; commas are needed"),
        ("y,y\n1,2\n", {"target": "y"}, "has two columns called 'y'"),
        ("day,y\n2024-01-02,1\n2024-01-01,2\n", {}, "row 2, column 'day': '2024-01-01' does not come after"),
        ("day,y\n2024-01-01,1\n2024-01-01,2\n", {}, "row 2, column 'day': '2024-01-01' does not come after"),
        ("a,b\nx,y\n", {}, "has no column of numbers to predict"),
        ("a,b\n1,2\n3,4,5\n", {"target": "a"}, "cannot be read as CSV"),
    ],
)
def test_what_cannot_be_used_is_named(csv, text, arguments, message):
    with pytest.raises(BadInput, match=message) as refused:
        read_csv(csv(text), **arguments)
    assert "my.csv" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(BadInput, match=r"nope.csv: there is no such file"):
        read_csv(tmp_path / "nope.csv")
    with pytest.raises(BadInput, match="is a folder"):
        read_csv(tmp_path)


def test_a_binary_file_is_refused_by_name(tmp_path):
    path = tmp_path / "photo.csv"
    path.write_bytes(bytes(range(256)) * 8)
    with pytest.raises(BadInput, match=r"photo.csv"):
        read_csv(path)


def test_csv_without_a_path_says_what_to_type():
    with pytest.raises(BadInput, match=r"data=csv data.path=my.csv"):
        DATASETS["csv"]()


def test_the_bundled_sunspots_are_whole():
    series = sunspots()
    assert series.values.shape == (2820, 1)
    assert series.values.max() == pytest.approx(253.8)
    assert (str(series.times[0])[:10], str(series.times[-1])[:10]) == ("1749-01-01", "1983-12-01")


@has_shared
def test_a_wide_real_file():
    series = read_csv(SHARED / "ETTh1.csv", target="OT", features="all")
    assert series.values.shape == (17420, 7)
    assert series.columns[0] == "OT"


@has_shared
def test_a_real_file_with_missing_values_is_refused_with_the_place():
    with pytest.raises(BadInput, match=r"row 1, column 'pm2.5': 'NA' is not a number \(\d+ more"):
        read_csv(SHARED / "beijing_pm_hourly.csv", target="pm2.5")
