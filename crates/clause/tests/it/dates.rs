//! Dates as clients write them.

use clause::date;
use proptest::prelude::*;

#[test]
fn every_format_of_the_specification_is_read() {
    const DAY: i64 = 1_427_068_800_000; // 23 March 2015, 00:00 UTC
    const TIME: i64 = DAY + ((17 * 60 + 4) * 60 + 9) * 1_000; // 17:04:09
    for (text, millis) in [
        ("Mon Mar 23 17:04:09 UTC 2015", TIME),
        ("Mon Mar 23 12:04:09 EST 2015", TIME),
        ("Mon Mar 23 17:04:09 GMT+00:00 2015", TIME),
        ("2015-03-23T17:04:09.000Z", TIME),
        ("2015-03-23T17:04:09.123Z", TIME + 123),
        ("03/23/2015 17:04:09 GMT+0000", TIME),
        ("03/23/2015 15:04:09 GMT-0200", TIME),
        ("03.23.2015 19:34:09 GMT+02:30", TIME),
        ("03-23-2015 15:04:09 GMT-02", TIME),
        ("03/23/2015 17:04:09 GMT", TIME),
        ("03/23/2015 13:04:09 EDT", TIME),
        ("03.23.2015 10:04:09 PDT", TIME),
        ("03/23/2015 18:04:09 +0100", TIME),
        ("03.23.2015 17:04:09", TIME),
        ("03-23-2015 17:04:09", TIME),
        ("03/23/2015 17:04:09", TIME),
        ("03.23.2015", DAY),
        ("03-23-2015", DAY),
        ("03/23/2015 17:04", TIME - 9_000),
        ("03/23/2015", DAY),
        ("3/23/2015", DAY),
        ("23/Mar/2015", DAY),
        ("23-Mar-2015", DAY),
        ("23-MARCH-2015", DAY),
        ("Monday, 23 March 2015", DAY),
        ("2015/03/23/17:04:09", TIME),
        ("2015-03-23T17:04:09", TIME),
        ("Monday, March 23, 2015", DAY),
        ("March 23, 2015", DAY),
        ("2015 3 23", DAY),
        ("2015Mar23", DAY),
        ("2015-Mar-23", DAY),
        ("2015-3-23", DAY),
        ("2015-3", DAY - 22 * 86_400_000),
        ("23-03-2015", DAY),
        // Month first where both could be meant.
        ("03-04-2015", DAY - 19 * 86_400_000),
        ("2015-03-23", DAY),
        ("2015-03-23 17:04", TIME - 9_000),
        ("2015-03-23T17:04:09.5+00:00", TIME + 500),
        ("2015-03-23t17:04:09,123456789z", TIME + 123),
        ("2015-03-23T19:04:09+02:00", TIME),
        ("2015-03-23T19:04:09 +0200", TIME),
        (" 03/23/2015 ", DAY),
        // From the examples.
        ("10/28/1988 00:00:00 GMT-0200", 594_007_200_000),
        ("28-10-1988", 594_000_000_000),
        ("22-Dec-1980", 346_291_200_000),
        // Borders.
        ("1970-01-01", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2000-02-29", 951_782_400_000),
        ("2024-02-29", 1_709_164_800_000),
        ("0001-01-01", -62_135_596_800_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ] {
        assert_eq!(date(text), Some(millis), "{text}");
    }
}

#[test]
fn what_is_no_date_is_none() {
    for text in [
        "",
        " ",
        "yesterday",
        "2015",
        "20150323",
        "1427068800000",
        "13/13/2015",
        "02/30/2015",
        "2023-02-29",
        "1900-02-29",
        "04-31-2015",
        "00/10/2015",
        "10/00/2015",
        "0000-01-01",
        "03/23/15",
        "03/23/20155",
        "03/23/2015 24:00:00",
        "03/23/2015 10:60:00",
        "03/23/2015 10:00:60",
        "03/23/2015 10:00:00 XYZ",
        "03/23/2015 10:00:00 GMT+1900",
        "03/23/2015 10:00:00 GMT+01:60",
        "03/23/2015 10:00:00 ",
        "03/23/2015x",
        "23-Foo-2015",
        "Someday, 23 March 2015",
        "23/Ma/2015",
        "2015-03-23T",
        "2015-03-23T10",
        "2015-03-23T10:00:00.",
        "2015-03-23T10:00:00+",
        "2015-03-23T10:00:00Zulu",
        "9999-12-31T23:59:59-00:01",
        "0001-01-01T00:00:00+00:01",
        "٠٣/٢٣/٢٠١٥",
        "-2015-03-23",
    ] {
        let trimmed = text.trim_end() != text && date(text.trim_end()).is_some();
        assert!(date(text).is_none() || trimmed, "{text}: {:?}", date(text));
    }
}

proptest! {
    #[test]
    fn every_millisecond_of_ten_thousand_years_is_found_again(
        millis in -62_135_596_800_000_i64..=253_402_300_799_999,
    ) {
        let (day, time) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
        let (year, month, day) = civil(day);
        let (hour, minute) = (time / 3_600_000, time / 60_000 % 60);
        let (second, fraction) = (time / 1_000 % 60, time % 1_000);
        let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}Z");
        prop_assert_eq!(date(&text), Some(millis), "{}", text);
        let text = format!("{month:02}/{day:02}/{year:04} {hour:02}:{minute:02}:{second:02} GMT");
        prop_assert_eq!(date(&text), Some(millis - fraction), "{}", text);
    }

    #[test]
    fn no_text_panics(text in "[0-9A-Za-z/:.,+ TZé-]{0,40}", other in any::<String>()) {
        let _ = (date(&text), date(&other));
    }
}

/// The year, month and day of a day since 1970, found by counting.
fn civil(days: i64) -> (i64, i64, i64) {
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut rest = days + 719_162; // since 1 January of the year 1
    let mut year = 1;
    while rest >= 365 + i64::from(leap(year)) {
        rest -= 365 + i64::from(leap(year));
        year += 1;
    }
    for (index, length) in (1..).zip([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
        let length = length + i64::from(index == 2 && leap(year));
        if rest < length {
            return (year, index, rest + 1);
        }
        rest -= length;
    }
    unreachable!()
}
