import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pulso.errors import ConfigurationError
from sensors_sim.replay import Report, detect_profile, load_profile, read_series, shipped_profiles, summarise
from sensors_sim.replay.play import Pace, in_order, message, shift_to_present
from sensors_sim.replay.profile import Profile

LONG = {
    "title": "test",
    "family": "traffic",
    "observed_property": "speed",
    "unit": "km/h",
    "interval": "PT5M",
    "shape": "long",
    "value": "v",
    "match": {"header": ["t", "v"]},
    "time": {"column": "t", "zone": "America/Mexico_City"},
    "thing": {"id": "d1"},
}


def profile(**changes):
    return Profile.model_validate(LONG | changes)


def write(directory: Path, text: str, name: str = "series.csv") -> Path:
    file = directory / name
    file.write_text(text, encoding="utf-8")
    return file


def read(directory: Path, text: str, described: Profile):
    report = Report()
    return list(read_series(write(directory, text), described, report)), report


def test_naive_times_are_on_the_clock_of_the_profile(tmp_path):
    rows, _ = read(tmp_path, "t,v\n2024-05-01 12:00:00,30\n", profile())
    assert rows[0].phenomenon_time == datetime(2024, 5, 1, 18, tzinfo=UTC)


def test_times_with_an_offset_keep_it(tmp_path):
    rows, _ = read(tmp_path, "t,v\n2024-05-01T12:00:00-0800,30\n", profile())
    assert rows[0].phenomenon_time == datetime(2024, 5, 1, 20, tzinfo=UTC)


def test_an_hour_that_ends_is_stamped_at_its_start(tmp_path):
    described = profile(time={"date": "d", "hour": "h", "zone": "-06:00", "shift": "-PT1H"}, match={"header": ["d"]})
    rows, _ = read(tmp_path, "d,h,v\n2024-01-01,1,5\n2024-01-01,24,6\n", described)
    assert [row.phenomenon_time for row in rows] == [
        datetime(2024, 1, 1, 6, tzinfo=UTC),  # 00:00 to 01:00 local
        datetime(2024, 1, 2, 5, tzinfo=UTC),  # 23:00 to 24:00 local
    ]


def test_wide_files_name_their_things_in_the_header(tmp_path):
    described = profile(shape="wide", value=None, thing={"prefix": "x-"}, missing=["", "-99"])
    rows, report = read(tmp_path, "t,A 1,B\n2024-01-01 00:00:00,1,-99\n2024-01-01 01:00:00,,2\n", described)
    assert [(row.thing, row.result, row.line) for row in rows] == [("x-A-1", 1.0, 2), ("x-B", 2.0, 3)]
    assert (report.values, report.missing, report.bad) == (2, 2, 0)


def test_bad_lines_are_counted_and_named_and_the_others_read(tmp_path):
    lines = ["t,v", "2024-01-01 00:00:00,1", "never,2", "2024-01-01 02:00:00,two", "2024-01-01 03:00:00"]
    text = "\n".join([*lines, "2024-01-01 04:00:00,nan", "2024-01-01 05:00:00,6", ""])
    rows, report = read(tmp_path, text, profile())
    assert [row.result for row in rows] == [1.0, 6.0]
    assert report.bad == 4
    assert [fault.split(":")[0] for fault in report.faults] == ["line 3", "line 4", "line 5", "line 6"]


def test_a_factor_changes_the_unit_and_no_factor_changes_nothing(tmp_path):
    text = "t,v\n2024-01-01 00:00:00,0.1\n"
    assert read(tmp_path, text, profile())[0][0].result == 0.1
    assert read(tmp_path, text, profile(factor=1.609344))[0][0].result == 0.1 * 1.609344


def test_compressed_files_and_byte_order_marks_are_no_matter(tmp_path):
    file = tmp_path / "series.csv.gz"
    file.write_bytes(gzip.compress("\ufefft,v\n2024-01-01 00:00:00,1\n".encode()))
    assert len(list(read_series(file, profile()))) == 1


def test_a_damaged_file_is_one_clear_error(tmp_path):
    file = tmp_path / "series.csv.gz"
    file.write_bytes(gzip.compress(b"t,v\n2024-01-01 00:00:00,1\n")[:-6])
    with pytest.raises(ConfigurationError, match=r"series\.csv\.gz cannot be read"):
        list(read_series(file, profile()))


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="not there: v"):
        read(tmp_path, "t,w\n", profile())


def test_stations_beside_the_file_say_where_things_stand(tmp_path):
    write(tmp_path, "code,title,lon,lat\nABC,Centro,-99.1,19.4\n", "stations.csv")
    stations = {"file": "stations.csv", "id": "code", "name": "title", "latitude": "lat", "longitude": "lon"}
    described = profile(shape="wide", value=None, thing={}, stations=stations)
    _, report = read(tmp_path, "t,ABC,XYZ\n2024-01-01 00:00:00,1,2\n", described)
    assert (report.things["ABC"].name, report.things["ABC"].latitude) == ("Centro", 19.4)
    assert report.things["XYZ"].latitude is None


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"unit": "mph"}, "stored in km/h"),
        ({"value": None}, "a long file needs value"),
        ({"time": {"column": "t", "zone": "Mars/Olympus"}}, "neither an IANA time zone"),
        ({"time": {"zone": "UTC"}}, "either column, or date and hour"),
    ],
)
def test_a_profile_that_cannot_work_says_why(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        profile(**changes)


def test_all_shipped_profiles_load():
    assert len(shipped_profiles()) >= 10


def test_a_profile_is_found_by_header_and_file_name(tmp_path):
    text = "timestamp,value\n2015-08-31 18:22:00,90\n"
    assert detect_profile(write(tmp_path, text, "traffic_mndot_speed_1.csv"))[0] == "mndot_speed"
    assert detect_profile(write(tmp_path, text, "traffic_mndot_occupancy_1.csv"))[0] == "mndot_occupancy"


def test_an_unknown_file_is_told_what_could_be_done(tmp_path):
    with pytest.raises(ConfigurationError) as raised:
        detect_profile(write(tmp_path, "alpha,beta\n1,2\n"))
    for word in ("alpha, beta", "--profile", "rama_pm25", "docs/reference/replay.md"):
        assert word in str(raised.value)


def test_an_unknown_profile_names_the_known_ones():
    with pytest.raises(ConfigurationError, match="wyndham_bins"):
        load_profile("nothing")


def test_a_summary_tells_values_from_keys(tmp_path):
    text = "t,v\n2024-01-01 00:00:00,1\n2024-01-01 00:00:00,1\n2024-01-01 01:00:00,4\n"
    figures = summarise(read(tmp_path, text, profile())[0])
    assert figures is not None
    assert (figures.count, figures.mean, figures.keys, figures.keys_mean) == (3, 2.0, 2, 2.5)


def hourly(tmp_path, count):
    lines = "".join(f"2024-01-01 {hour:02d}:00:00,{hour}\n" for hour in reversed(range(count)))
    return in_order(read(tmp_path, f"t,v\n{lines}", profile())[0])


def test_rows_are_played_in_order_of_time(tmp_path):
    assert [row.result for row in hourly(tmp_path, 5)] == [0, 1, 2, 3, 4]


def test_speed_sets_the_moment_of_each_row(tmp_path):
    rows = hourly(tmp_path, 3)
    began = datetime(2026, 1, 1, tzinfo=UTC)
    due = [Pace(3600).due(row, rows[0].phenomenon_time, began) for row in rows]
    assert due == [began + timedelta(seconds=n) for n in range(3)]


def test_as_now_ends_now_or_begins_now_and_is_never_ahead(tmp_path):
    rows, now = hourly(tmp_path, 5), datetime(2026, 11, 22, 18, 3, 30, tzinfo=UTC)
    fast = shift_to_present(rows, timedelta(minutes=5), Pace(), now)
    assert fast[-1].phenomenon_time == datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
    live = shift_to_present(rows, timedelta(minutes=5), Pace(1), now)
    assert live[0].phenomenon_time == datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
    assert live[1].phenomenon_time - live[0].phenomenon_time == timedelta(hours=1)


def test_a_message_carries_its_unit_and_the_very_number(tmp_path):
    rows, _ = read(tmp_path, "t,v\n2024-01-01 00:00:00,62.66666667\n", profile(factor=1.609344))
    document = json.loads(message(rows[0], profile()))
    assert document["phenomenon_time"] == "2024-01-01T06:00:00Z"
    assert document["observations"]["speed"] == {"result": rows[0].result, "unit": "km/h"}


def test_an_hour_number_is_read_on_the_clock_of_its_day(tmp_path):
    """14 h in New York is 18 h UTC in summer time and 19 h in winter, on the days of change too."""
    time = {"date": "d", "hour": "h", "zone": "America/New_York"}
    rows, _ = read(tmp_path, "d,h,v\n2026-03-08,14,1\n2026-11-01,14,1\n", profile(time=time))
    assert [row.phenomenon_time.hour for row in rows] == [18, 19]


def test_a_line_without_a_usable_thing_is_bad_and_ends_nothing(tmp_path):
    thing = {"column": "id", "latitude": "lat", "longitude": "lon"}
    lines = ["t,v,id,lat,lon", "2026-11-22,1,,1,2", f"2026-11-22,2,{'x' * 129},1,2", "2026-11-22,3,a,,"]
    lines += ["2026-11-22,4,b,91,2", "2026-11-22,5,c,19.4,-99.1"]
    rows, report = read(tmp_path, "\n".join(lines), profile(thing=thing))
    assert ([row.result for row in rows], report.bad) == ([3, 4, 5], 2)
    assert [(thing.latitude, thing.longitude) for thing in report.things.values()] == [
        (None, None), (None, None), (19.4, -99.1),
    ]  # fmt: skip


def test_columns_that_describe_the_thing_are_needed_too(tmp_path):
    with pytest.raises(ConfigurationError, match="title"):
        read(tmp_path, "t,v\n2026-11-22,1\n", profile(thing={"id": "d1", "name": "title"}))


def test_what_is_not_csv_is_one_clear_error(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(tmp_path, f"t,v\n2026-11-22,{'7' * 200_000}\n", profile())
