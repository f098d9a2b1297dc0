//! Times written as numbers or as words: `2`, `day 2`, `d6`, `E8.5`.

use std::path::Path;

use crate::error::DataError;

/// One time for each text, which must hold one number each and otherwise the same letters; `row` says in which row of the
/// file a text stands first.
pub(super) fn parse_times(
    path: &Path,
    column: &str,
    texts: &[String],
    row: impl Fn(usize) -> usize,
) -> Result<Vec<f64>, DataError> {
    let bad = |i: usize, expected| DataError::BadTime {
        path: path.to_owned(),
        column: column.to_owned(),
        row: row(i),
        value: texts[i].clone(),
        expected,
    };
    let mut unit: Option<String> = None;
    texts
        .iter()
        .enumerate()
        .map(|(i, text)| {
            let (time, letters) = number_in(text).ok_or_else(|| {
                bad(i, "a time (one number, with or without a word around it: 2, `day 2`, `d6`)")
            })?;
            match &unit {
                None => unit = Some(letters),
                Some(unit) if *unit == letters => {}
                Some(_) => return Err(bad(i, "written like the other times, so their units may differ")),
            }
            Ok(time)
        })
        .collect()
}

/// The only number in a text, and its letters.
fn number_in(text: &str) -> Option<(f64, String)> {
    let text = text.trim();
    if let Ok(x) = text.parse::<f64>() {
        return x.is_finite().then(|| (x, String::new()));
    }
    let chars: Vec<char> = text.chars().collect();
    let letters = chars.iter().filter(|c| c.is_alphabetic()).flat_map(|c| c.to_lowercase()).collect();
    let mut found = None;
    let mut i = 0;
    while i < chars.len() {
        if !chars[i].is_ascii_digit() {
            i += 1;
            continue;
        }
        let start = i;
        while i < chars.len() && chars[i].is_ascii_digit() {
            i += 1;
        }
        if i + 1 < chars.len() && chars[i] == '.' && chars[i + 1].is_ascii_digit() {
            i += 1;
            while i < chars.len() && chars[i].is_ascii_digit() {
                i += 1;
            }
        }
        // A minus is a sign at the beginning or after a space; else it joins, as in `day-2`.
        let negative = start > 0
            && chars[start - 1] == '-'
            && (start == 1 || chars[start - 2].is_whitespace() || chars[start - 2] == '=');
        let number: f64 = chars[start..i].iter().collect::<String>().parse().ok()?;
        if found.replace(if negative { -number } else { number }).is_some() {
            return None;
        }
    }
    found.map(|x| (x, letters))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(texts: &[&str]) -> Result<Vec<f64>, String> {
        let texts: Vec<String> = texts.iter().map(|&t| t.to_owned()).collect();
        parse_times(Path::new("cells.csv"), "day", &texts, |i| i).map_err(|e| e.to_string())
    }

    #[test]
    fn words_around_a_number() {
        assert_eq!(times(&["2", "4.5", "-1e1"]), Ok(vec![2.0, 4.5, -10.0]));
        assert_eq!(times(&["day 2", "Day4", "day-6", "DAY 10.5"]), Ok(vec![2.0, 4.0, 6.0, 10.5]));
        assert_eq!(times(&["d2", "D6"]), Ok(vec![2.0, 6.0]));
        assert_eq!(times(&["E8.5", "E9."]), Ok(vec![8.5, 9.0]));
        assert_eq!(times(&["day -2", "day=-1", "day 0"]), Ok(vec![-2.0, -1.0, 0.0]));
    }

    #[test]
    fn what_is_ambiguous() {
        for bad in ["late", "", "day 2 of 6", "2,5", "nan", "inf", "d2_rep1"] {
            let message = times(&["day 2", bad]).unwrap_err();
            assert!(message.contains(&format!("`{bad}` (in row 1) is not a time")), "{message}");
        }
        assert!(times(&["12h", "2d"]).unwrap_err().contains("units may differ"));
    }

    proptest::proptest! {
        #[test]
        fn any_number_in_any_word(x in 0.0_f64..1e6, word in "[a-zA-Z ]{0,6}") {
            proptest::prop_assert_eq!(number_in(&format!("{word}{x}")).map(|n| n.0), Some(x));
            proptest::prop_assert_eq!(number_in(&format!("{x} {word}")).map(|n| n.0), Some(x));
        }
    }
}
