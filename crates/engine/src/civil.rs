//! Days and the calendar, as PostgreSQL counts them: Gregorian for all times, UTC.

/// Milliseconds of a day.
pub(crate) const DAY: i64 = 86_400_000;

/// A day of the calendar. The year before 1 is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
}

/// The number of the day since 1970 that a time lies in.
pub(crate) fn day_of(millis: i64) -> i64 {
    millis.div_euclid(DAY)
}

impl Civil {
    /// The day with this number since 1970.
    pub(crate) fn of(days: i64) -> Self {
        // Years from March on, so that the leap day is the last of its year; 400 of them are an era.
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let years = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * years + years / 4 - years / 100);
        let months = (5 * of_year + 2) / 153;
        let month = if months < 10 { months + 3 } else { months - 9 };
        Self {
            year: years + era * 400 + i64::from(month < 3),
            month,
            day: of_year - (153 * months + 2) / 5 + 1,
        }
    }

    /// The number of this day since 1970.
    pub(crate) fn days(self) -> i64 {
        let year = self.year - i64::from(self.month < 3);
        let of_era = year.rem_euclid(400);
        let of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year
            - 719_468
    }

    /// The same day so many months later, or the last of that month if it is shorter.
    pub(crate) fn plus_months(self, months: i64) -> Self {
        let count = self.year * 12 + self.month - 1 + months;
        let (year, month) = (count.div_euclid(12), count.rem_euclid(12) + 1);
        let first = Self { year, month, day: 1 };
        let next = if month == 12 {
            Self { year: year + 1, month: 1, day: 1 }
        } else {
            Self { month: month + 1, ..first }
        };
        Self { day: self.day.min(next.days() - first.days()), ..first }
    }

    /// The day of its year, from 1.
    pub(crate) fn of_year(self) -> i64 {
        self.days() - Self { month: 1, day: 1, ..self }.days() + 1
    }
}

/// The day of the week; Sunday is 0.
pub(crate) fn weekday(days: i64) -> i64 {
    (days + 4).rem_euclid(7)
}

/// The number of the ISO week, from 1.
pub(crate) fn iso_week(days: i64) -> i64 {
    let thursday = days - (weekday(days) + 6) % 7 + 3;
    (Civil::of(thursday).of_year() - 1) / 7 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_ten_thousand_years_is_read_back() {
        let mut before = Civil::of(-4_000_001);
        for days in -4_000_000..3_000_000 {
            let civil = Civil::of(days);
            assert_eq!(civil.days(), days, "{civil:?}");
            assert!((before.year, before.month, before.day) < (civil.year, civil.month, civil.day));
            before = civil;
        }
    }

    #[test]
    fn known_days_are_what_the_calendar_says() {
        let civil = |year, month, day| Civil { year, month, day };
        for (day, days, week_day, week) in [
            (civil(1970, 1, 1), 0, 4, 1),
            (civil(2000, 2, 29), 11_016, 2, 9),
            (civil(2021, 1, 3), 18_630, 0, 53),
            (civil(2023, 11, 14), 19_675, 2, 46),
        ] {
            assert_eq!((day.days(), weekday(days), iso_week(days)), (days, week_day, week));
        }
        assert_eq!(civil(2024, 1, 31).plus_months(1), civil(2024, 2, 29));
        assert_eq!(civil(2024, 3, 31).plus_months(-13), civil(2023, 2, 28));
        assert_eq!(civil(2024, 12, 31).of_year(), 366);
    }
}
