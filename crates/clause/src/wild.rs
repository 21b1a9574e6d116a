//! The patterns of `LIKE` (D:3.1, 3.5).

/// One piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wild {
    /// `%`: any run of characters, also none.
    Any,
    /// `_`: one character.
    One,
    /// This character. `\%` and `\_` are a percent sign and an underscore; any other backslash is
    /// a backslash.
    Character(char),
}

impl Wild {
    /// The pieces of a pattern.
    pub fn read(pattern: &str) -> impl Iterator<Item = Self> {
        let mut characters = pattern.chars().peekable();
        std::iter::from_fn(move || {
            Some(match characters.next()? {
                '%' => Self::Any,
                '_' => Self::One,
                '\\' => Self::Character(
                    characters.next_if(|it| matches!(it, '%' | '_')).unwrap_or('\\'),
                ),
                it => Self::Character(it),
            })
        })
    }
}
