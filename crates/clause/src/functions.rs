//! The functions of the language (D:3.7), as a table.

/// One row of the table: what it is, how it is spelled, how many arguments it takes.
struct Known {
    function: Function,
    name: &'static str,
    least: usize,
    most: usize,
}

/// As many as a list may have.
const ANY: usize = usize::MAX;

macro_rules! functions {
    ($($variant:ident $name:literal $least:tt $most:tt $what:literal;)*) => {
        /// A function that gives one value for each row.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Function {
            $(#[doc = $what] $variant,)*
        }

        const TABLE: &[Known] = &[
            $(Known { function: Function::$variant, name: $name, least: $least, most: $most },)*
        ];
    };
}

functions! {
    Now "NOW" 0 1 "The present time; the argument, a number of fraction digits, changes nothing.";
    UnixTimestamp "UNIXTIMESTAMP" 0 1 "Whole seconds since 1970, of a time or of now.";
    Date "DATE" 1 1 "The day of a time.";
    Time "TIME" 1 1 "The time of the day, as text.";
    Week "WEEK" 1 2 "The week of the year; the second argument says how weeks are counted, 0 to 7.";
    Year "YEAR" 1 1 "The year.";
    Month "MONTH" 1 1 "The month, 1 to 12.";
    Quarter "QUARTER" 1 1 "The quarter, 1 to 4.";
    DayOfWeek "DAYOFWEEK" 1 1 "The day of the week; Sunday is 1.";
    DayOfMonth "DAYOFMONTH" 1 1 "The day of the month, 1 to 31.";
    DayOfYear "DAYOFYEAR" 1 1 "The day of the year, 1 to 366.";
    Hour "HOUR" 1 1 "The hour, 0 to 23.";
    Minute "MINUTE" 1 1 "The minute, 0 to 59.";
    Second "SECOND" 1 1 "The second, 0 to 59.";
    DateDiff "DATEDIFF" 2 2 "Days from the second time to the first.";
    Upper "UPPER" 1 1 "In capitals.";
    Lower "LOWER" 1 1 "In small letters.";
    Concat "CONCAT" 1 ANY "The arguments as one text.";
    CharLength "CHARLENGTH" 1 1 "The number of characters.";
    Length "LENGTH" 1 1 "The same as CHARLENGTH.";
    Trim "TRIM" 1 1 "Without spaces at both ends.";
    TrimStart "LTRIM" 1 1 "Without spaces at the beginning.";
    TrimEnd "RTRIM" 1 1 "Without spaces at the end.";
    Left "LEFT" 2 2 "So many characters from the beginning.";
    Right "RIGHT" 2 2 "So many characters from the end.";
    Substring "SUBSTRING" 2 3 "From this character on, counted from 1; at most so many.";
    Replace "REPLACE" 3 3 "With the second text wherever the first is found, replaced by the third.";
    Reverse "REVERSE" 1 1 "Backwards.";
    Abs "ABS" 1 1 "Without its sign.";
    Ceil "CEIL" 1 1 "The next whole number up.";
    Floor "FLOOR" 1 1 "The next whole number down.";
    Round "ROUND" 1 2 "The nearest number with so many decimals, none if not said.";
    Mod "MOD" 2 2 "The remainder of a division.";
    Pow "POW" 2 2 "The first raised to the second.";
    Sqrt "SQRT" 1 1 "The square root.";
    Within "Within" 2 2 "Whether a geometry lies in another.";
    Contains "Contains" 2 2 "Whether a geometry contains another.";
    Intersects "Intersects" 2 2 "Whether two geometries have a point in common.";
    Crosses "Crosses" 2 2 "Whether a geometry crosses another.";
    Disjoint "Disjoint" 2 2 "Whether two geometries have no point in common.";
    Equals "Equals" 2 2 "Whether two geometries are the same.";
    Overlaps "Overlaps" 2 2 "Whether two geometries overlap.";
    Touches "Touches" 2 2 "Whether two geometries have their border alone in common.";
    DistanceOnSphere "distanceOnSphere" 2 2 "Metres between two points.";
    PointX "pointX" 1 1 "The longitude of a point.";
    PointY "pointY" 1 1 "The latitude of a point.";
    Distance "distance" 4 4 "Metres between two points given as four numbers (legacy geo).";
    Miles "mi" 1 1 "Miles, in metres (legacy geo).";
    Kilometres "km" 1 1 "Kilometres, in metres (legacy geo).";
    Yards "yd" 1 1 "Yards, in metres (legacy geo).";
    Feet "ft" 1 1 "Feet, in metres (legacy geo).";
}

impl Function {
    /// The function of this name, in any case of its letters.
    pub fn by_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|it| it.name.eq_ignore_ascii_case(name)).map(|it| it.function)
    }

    /// All functions.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|it| it.function)
    }

    /// How it is spelled in D:3.7.
    pub fn name(self) -> &'static str {
        TABLE[self as usize].name
    }

    /// Whether it takes so many arguments.
    pub fn takes(self, arguments: usize) -> bool {
        let known = &TABLE[self as usize];
        (known.least..=known.most).contains(&arguments)
    }

    /// How many arguments it takes, in words.
    pub(crate) fn arguments(self) -> String {
        let known = &TABLE[self as usize];
        let noun = if known.most == 1 { "argument" } else { "arguments" };
        match (known.least, known.most) {
            (least, ANY) => format!("{least} or more arguments"),
            (least, most) if least == most => format!("{most} {noun}"),
            (least, most) => format!("{least} to {most} {noun}"),
        }
    }
}

/// A function that gives one value for many rows (D:2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// The mean.
    Avg,
    /// How many are set.
    Count,
    /// The sum.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

impl Aggregate {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Avg, Self::Count, Self::Sum, Self::Min, Self::Max];

    /// The aggregate of this name, in any case of its letters.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name().eq_ignore_ascii_case(name))
    }

    /// How it is spelled in D:2.6.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avg => "Avg",
            Self::Count => "Count",
            Self::Sum => "Sum",
            Self::Min => "Min",
            Self::Max => "Max",
        }
    }
}

/// Forward or back in time: `DATEADD` and `DATESUB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shift {
    /// `DATEADD`.
    Add,
    /// `DATESUB`.
    Sub,
}

impl Shift {
    /// The shift of this name, in any case of its letters.
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Add, Self::Sub].into_iter().find(|it| it.name().eq_ignore_ascii_case(name))
    }

    /// How it is spelled in D:3.7.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "DATEADD",
            Self::Sub => "DATESUB",
        }
    }
}

/// What a shift in time is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Seconds.
    Second,
    /// Minutes.
    Minute,
    /// Hours.
    Hour,
    /// Days.
    Day,
    /// Weeks.
    Week,
    /// Months.
    Month,
    /// Quarters of a year.
    Quarter,
    /// Years.
    Year,
}

impl Unit {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Second,
        Self::Minute,
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Quarter,
        Self::Year,
    ];

    /// The unit of this name, in any case of its letters.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name().eq_ignore_ascii_case(name))
    }

    /// How it is spelled.
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "SECOND",
            Self::Minute => "MINUTE",
            Self::Hour => "HOUR",
            Self::Day => "DAY",
            Self::Week => "WEEK",
            Self::Month => "MONTH",
            Self::Quarter => "QUARTER",
            Self::Year => "YEAR",
        }
    }
}
