//! Numbers as text: significant digits, thousands separators, true minus signs.

/// `x` with `digits` significant digits: `1.004`, `12,345`, `−0.032`, `1.2×10⁻⁷`; a dash when not finite.
pub fn number(x: f64, digits: usize) -> String {
    if !x.is_finite() {
        return "–".to_string();
    }
    if x == 0.0 {
        return "0".to_string();
    }
    let digits = digits.clamp(1, 15);
    // Rounding to `digits` may raise the exponent (9.996 -> 10.0): take it from the rounded text.
    let scientific = format!("{x:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..=9).contains(&exponent) {
        return minus(&format!("{mantissa}×10{}", superscript(exponent)));
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    minus(&group_thousands(&format!("{x:.decimals$}")))
}

/// As [`number`], with a sign in front of positive values too: for changes and differences.
pub fn signed(x: f64, digits: usize) -> String {
    if x > 0.0 && x.is_finite() { format!("+{}", number(x, digits)) } else { number(x, digits) }
}

/// A fraction as a percentage with one decimal below 10 %: `3.2 %`, `25 %`; a dash when not finite.
pub fn percent(fraction: f64) -> String {
    if !fraction.is_finite() {
        return "–".to_string();
    }
    let p = 100.0 * fraction;
    let text = if p != 0.0 && p.abs() < 9.95 { format!("{p:.1}") } else { format!("{p:.0}") };
    format!("{}\u{202f}%", minus(&group_thousands(&text)))
}

/// `x` with as many decimals as tell apart hundredths of `reach`: for values that stand beside each other.
pub(crate) fn aligned(x: f64, reach: f64, sign: bool) -> String {
    if !x.is_finite() {
        return "–".to_string();
    }
    if !(1e-5..1e7).contains(&reach) {
        return if sign { signed(x, 2) } else { number(x, 2) };
    }
    let decimals = (1.0 - reach.log10().floor()).clamp(0.0, 7.0) as usize;
    let text = minus(&group_thousands(&format!("{x:.decimals$}")));
    // A rounded zero carries no sign.
    if !text.contains(|c: char| ('1'..='9').contains(&c)) {
        return text.trim_start_matches('−').to_string();
    }
    if sign && x > 0.0 { format!("+{text}") } else { text }
}

/// A count with thousands separators: `130,887`.
pub fn count(n: usize) -> String {
    group_thousands(&n.to_string())
}

/// Text of an axis tick: as many decimals as the step between ticks needs.
pub(crate) fn tick(value: f64, step: f64) -> String {
    if value == 0.0 || value.abs() < step * 1e-9 {
        return "0".to_string();
    }
    if value.abs() >= 1e6 || step < 1e-5 {
        return trim_mantissa(value);
    }
    let decimals = (-step.log10() - 1e-9).ceil().clamp(0.0, 6.0) as usize;
    minus(&group_thousands(&format!("{value:.decimals$}")))
}

/// A power of ten as an axis label; plain digits near one.
pub(crate) fn log_tick(mantissa: u32, exponent: i32) -> String {
    if (-3..=3).contains(&exponent) {
        let value = f64::from(mantissa) * 10f64.powi(exponent);
        let decimals = (-exponent).max(0) as usize;
        return group_thousands(&format!("{value:.decimals$}"));
    }
    if mantissa == 1 {
        format!("10{}", superscript(exponent))
    } else {
        format!("{mantissa}×10{}", superscript(exponent))
    }
}

fn trim_mantissa(value: f64) -> String {
    let text = format!("{value:.3e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
    let exponent: i32 = exponent.parse().unwrap_or(0);
    minus(&if exponent == 0 {
        mantissa.to_string()
    } else {
        format!("{mantissa}×10{}", superscript(exponent))
    })
}

fn superscript(n: i32) -> String {
    n.to_string()
        .chars()
        .map(|c| match c {
            '-' => '⁻',
            '0' => '⁰',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            '4' => '⁴',
            '5' => '⁵',
            '6' => '⁶',
            '7' => '⁷',
            '8' => '⁸',
            _ => '⁹',
        })
        .collect()
}

fn minus(text: &str) -> String {
    text.replacen('-', "−", 1)
}

fn group_thousands(text: &str) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |r| ("-", r));
    let (whole, fraction) = rest.split_once('.').map_or((rest, None), |(w, f)| (w, Some(f)));
    let mut grouped = String::new();
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(c);
    }
    fraction.map_or_else(|| format!("{sign}{grouped}"), |f| format!("{sign}{grouped}.{f}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn significant_digits_survive_rounding_up() {
        assert_eq!(number(1.00432, 4), "1.004");
        assert_eq!(number(9.9996, 3), "10.0");
        assert_eq!(number(130_887.4, 3), "130,887");
        assert_eq!(number(-0.0321, 2), "−0.032");
        assert_eq!(number(1.23e-7, 2), "1.2×10⁻⁷");
        assert_eq!(number(f64::NAN, 2), "–");
        assert_eq!(signed(0.25, 2), "+0.25");
        assert_eq!(percent(0.0321), "3.2\u{202f}%");
        assert_eq!(percent(0.2534), "25\u{202f}%");
        assert_eq!(count(1_234_567), "1,234,567");
    }

    #[test]
    fn ticks_show_what_their_step_needs() {
        assert_eq!(tick(0.5, 0.2), "0.5");
        assert_eq!(tick(3.0, 1.0), "3");
        assert_eq!(tick(-2000.0, 1000.0), "−2,000");
        assert_eq!(tick(3e7, 1e7), "3×10⁷");
        assert_eq!(aligned(3.7e-17, 0.3, true), "0.00");
        assert_eq!(aligned(-0.001, 0.3, true), "0.00");
        assert_eq!(aligned(0.254, 0.3, true), "+0.25");
        assert_eq!(aligned(0.09, 0.86, false), "0.09");
        assert_eq!(aligned(-12.34, 40.0, false), "−12");
        assert_eq!(log_tick(1, -5), "10⁻⁵");
        assert_eq!(log_tick(2, -2), "0.02");
    }
}
