//! Colours computed once: perceptually even ramps through `OKLab`, and the categorical palettes.
//!
//! Figures name colours by class (`k3`, `q17`, `d4`); the style sheet gives each class its light and dark value, so
//! the same drawing serves both. Source of the transform: B. Ottosson, "A perceptual color space for image processing" (2020).

/// Number of steps of the sequential ramp (classes `q0`..`q31`, low to high).
pub(crate) const SEQUENTIAL: usize = 32;
/// Number of steps of the diverging ramp (classes `d0`..`d16`, negative to positive).
pub(crate) const DIVERGING: usize = 17;
/// Number of categorical colours (classes `k0`..`k11`); further categories share the grey class `kx`.
pub(crate) const CATEGORIES: usize = 12;

/// Categorical colours on a light ground. The first eight stay apart under protanopia and deuteranopia.
pub(crate) const LIGHT: [&str; CATEGORIES] = [
    "#167ebc", "#e57317", "#0ca77c", "#a14d78", "#662fb6", "#6c660e", "#11415f", "#750c1f", "#b06f9e",
    "#4f9a2f", "#b5560c", "#5f7d95",
];
/// Categorical colours on a dark ground, hue by hue as [`LIGHT`].
pub(crate) const DARK: [&str; CATEGORIES] = [
    "#62b1e6", "#f08468", "#5bf0a0", "#d83ba3", "#7765ee", "#dcc820", "#c0e6fd", "#9a6050", "#e6a3d3",
    "#9ad66a", "#ffb675", "#8fa9bd",
];

/// Lightness, chroma, hue in degrees.
type Lch = [f64; 3];

const SEQUENTIAL_LIGHT: [Lch; 5] = [
    [0.30, 0.11, 300.0],
    [0.44, 0.115, 262.0],
    [0.58, 0.10, 215.0],
    [0.72, 0.13, 160.0],
    [0.86, 0.16, 108.0],
];
const SEQUENTIAL_DARK: [Lch; 5] = [
    [0.40, 0.13, 300.0],
    [0.53, 0.125, 264.0],
    [0.66, 0.11, 215.0],
    [0.79, 0.14, 160.0],
    [0.92, 0.17, 108.0],
];
const DIVERGING_LIGHT: [Lch; 5] =
    [[0.40, 0.13, 255.0], [0.68, 0.10, 245.0], [0.94, 0.005, 240.0], [0.72, 0.12, 50.0], [0.46, 0.14, 35.0]];
const DIVERGING_DARK: [Lch; 5] =
    [[0.80, 0.10, 240.0], [0.58, 0.11, 250.0], [0.34, 0.012, 240.0], [0.60, 0.12, 42.0], [0.82, 0.12, 62.0]];

/// The sequential ramp as hex colours, low to high.
pub(crate) fn sequential(dark: bool) -> Vec<String> {
    ramp(if dark { &SEQUENTIAL_DARK } else { &SEQUENTIAL_LIGHT }, SEQUENTIAL)
}

/// The diverging ramp as hex colours; its middle fades into the ground.
pub(crate) fn diverging(dark: bool) -> Vec<String> {
    ramp(if dark { &DIVERGING_DARK } else { &DIVERGING_LIGHT }, DIVERGING)
}

/// Step of a ramp with `steps` steps for a share in `[0, 1]`.
pub(crate) fn step(share: f64, steps: usize) -> usize {
    // NaN and negative values become 0 in the cast.
    ((share * steps as f64) as usize).min(steps - 1)
}

fn ramp(stops: &[Lch; 5], steps: usize) -> Vec<String> {
    (0..steps)
        .map(|i| {
            let position = 4.0 * i as f64 / (steps - 1) as f64;
            let from = (position as usize).min(3);
            let share = position - from as f64;
            let (a, b) = (lab(stops[from]), lab(stops[from + 1]));
            hex([0, 1, 2].map(|k| a[k] + share * (b[k] - a[k])))
        })
        .collect()
}

fn lab([l, c, h]: Lch) -> [f64; 3] {
    let h = h.to_radians();
    [l, c * h.cos(), c * h.sin()]
}

fn linear_rgb([l, a, b]: [f64; 3]) -> [f64; 3] {
    let long = (l + 0.3963377774 * a + 0.2158037573 * b).powi(3);
    let medium = (l - 0.1055613458 * a - 0.0638541728 * b).powi(3);
    let short = (l - 0.0894841775 * a - 1.2914855480 * b).powi(3);
    [
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    ]
}

fn hex(lab: [f64; 3]) -> String {
    let [r, g, b] = linear_rgb(lab).map(|v| {
        let v = v.clamp(0.0, 1.0);
        let encoded = if v <= 0.0031308 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 };
        (255.0 * encoded).round() as u8
    });
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Linear RGB of a hex colour.
    pub(crate) fn parse(hex: &str) -> [f64; 3] {
        [1, 3, 5].map(|i| {
            let v = f64::from(u8::from_str_radix(&hex[i..i + 2], 16).unwrap()) / 255.0;
            if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        })
    }

    /// Contrast ratio of the WCAG.
    pub(crate) fn contrast(a: &str, b: &str) -> f64 {
        let y = |h: &str| {
            let [r, g, b] = parse(h);
            0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05
        };
        let (a, b) = (y(a), y(b));
        a.max(b) / a.min(b)
    }

    fn to_lab([r, g, b]: [f64; 3]) -> [f64; 3] {
        let l = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b).cbrt();
        let m = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b).cbrt();
        let s = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b).cbrt();
        [
            0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
            1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
            0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s,
        ]
    }

    fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
        a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt()
    }

    /// Severe protanopia and deuteranopia: Machado, Oliveira & Fernandes (2009), IEEE TVCG 15(6).
    const VISIONS: [[[f64; 3]; 3]; 3] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ];

    #[test]
    fn first_eight_categories_stay_apart_for_colour_blind_readers() {
        for palette in [LIGHT, DARK] {
            for vision in VISIONS {
                let seen: Vec<[f64; 3]> = palette[..8]
                    .iter()
                    .map(|h| {
                        let rgb = parse(h);
                        to_lab(vision.map(|row| (0..3).map(|k| row[k] * rgb[k]).sum::<f64>().clamp(0.0, 1.0)))
                    })
                    .collect();
                for i in 0..8 {
                    for j in 0..i {
                        let d = distance(seen[i], seen[j]);
                        assert!(d > 0.09, "{} and {} are only {d:.3} apart", palette[i], palette[j]);
                    }
                }
            }
        }
    }

    #[test]
    fn sequential_ramps_rise_evenly_in_lightness() {
        for dark in [false, true] {
            let l: Vec<f64> = sequential(dark).iter().map(|h| to_lab(parse(h))[0]).collect();
            let mean = (l[SEQUENTIAL - 1] - l[0]) / (SEQUENTIAL - 1) as f64;
            assert!(mean > 0.015);
            for pair in l.windows(2) {
                let rise = pair[1] - pair[0];
                assert!(rise > 0.5 * mean && rise < 1.6 * mean, "uneven: {rise} against {mean}");
            }
        }
    }

    #[test]
    fn steps_cover_the_ramp_and_take_any_share() {
        assert_eq!(step(0.0, 32), 0);
        assert_eq!(step(1.0, 32), 31);
        assert_eq!(step(f64::NAN, 32), 0);
        assert_eq!(step(-3.0, 32), 0);
        assert_eq!(step(7.0, 32), 31);
    }
}
