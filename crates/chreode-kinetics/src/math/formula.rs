//! Infix text as PEtab has it, and as level 1 of SBML does.

use super::{DEEPEST, Expr, MathError, Op, Raw};

/// Reads a formula such as `scale * (2 * pA + pB) ^ 2 / total`. Powers are `^` or `**`, comparisons and `&&`, `||`, `!` are known,
/// functions are those of PEtab; a `time` is time.
pub(crate) fn parse(text: &str) -> Result<Expr<Raw>, MathError> {
    Reader::new(text, false)?.whole()
}

/// Reads a formula of SBML level 1, appendix C: arithmetic and functions alone, where a sign binds tighter than a power and powers are
/// taken from the left. Time has no name there.
pub(crate) fn parse_level_one(text: &str) -> Result<Expr<Raw>, MathError> {
    Reader::new(text, true)?.whole()
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(f64),
    Name(String),
    Sign(&'static str),
}

const SIGNS: [&str; 20] = [
    "**", "<=", ">=", "==", "!=", "&&", "||", "<", ">", "=", "+", "-", "*", "/", "^", "(", ")", ",", "!", "&",
];

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, MathError> {
    let bytes = text.as_bytes();
    let (mut tokens, mut i) = (Vec::new(), 0);
    while i < bytes.len() {
        let rest = &bytes[i..];
        let end = |from: usize, keep: &dyn Fn(u8) -> bool| {
            i + from + rest[from..].iter().take_while(|&&b| keep(b)).count()
        };
        let first = bytes[i];
        if first.is_ascii_whitespace() {
            i += 1;
        } else if first.is_ascii_alphabetic() || first == b'_' {
            let to = end(0, &|b| b.is_ascii_alphanumeric() || b == b'_');
            tokens.push((i, Token::Name(text[i..to].into())));
            i = to;
        } else if first.is_ascii_digit() || first == b'.' {
            let mut to = end(0, &|b| b.is_ascii_digit() || b == b'.');
            if bytes.get(to).is_some_and(|b| b"eE".contains(b)) {
                let sign = usize::from(bytes.get(to + 1).is_some_and(|b| b"+-".contains(b)));
                let digits = to + 1 + sign;
                if bytes.get(digits).is_some_and(u8::is_ascii_digit) {
                    to = end(digits - i, &|b| b.is_ascii_digit());
                }
            }
            let number = text[i..to].parse().map_err(|_| infix(text, i, "a number"))?;
            tokens.push((i, Token::Number(number)));
            i = to;
        } else if let Some(sign) = SIGNS.iter().find(|s| rest.starts_with(s.as_bytes())) {
            tokens.push((i, Token::Sign(sign)));
            i += sign.len();
        } else {
            return Err(infix(text, i, "a name, a number or an operator"));
        }
    }
    Ok(tokens)
}

fn infix(text: &str, byte: usize, expected: &'static str) -> MathError {
    let at = 1 + text.char_indices().take_while(|&(i, _)| i < byte).count();
    MathError::Infix { text: text.into(), at, expected }
}

struct Reader<'a> {
    text: &'a str,
    tokens: Vec<(usize, Token)>,
    next: usize,
    level_one: bool,
}

/// Operators between operands, loosest first.
const LEVELS: [&[(&str, Op)]; 5] = [
    &[("||", Op::Or), ("or", Op::Or)],
    &[("&&", Op::And), ("&", Op::And), ("and", Op::And)],
    &[("==", Op::Eq), ("!=", Op::Neq), ("<=", Op::Leq), (">=", Op::Geq), ("<", Op::Lt), (">", Op::Gt)],
    &[("+", Op::Add), ("-", Op::Sub)],
    &[("*", Op::Mul), ("/", Op::Div)],
];

/// Where arithmetic begins in [`LEVELS`].
const ARITHMETIC: usize = 3;

impl<'a> Reader<'a> {
    fn new(text: &'a str, level_one: bool) -> Result<Self, MathError> {
        Ok(Self { text, tokens: tokens(text)?, next: 0, level_one })
    }

    /// All of the text.
    fn whole(mut self) -> Result<Expr<Raw>, MathError> {
        let x = self.operators(0)?;
        if self.next < self.tokens.len() { Err(self.error("an operator or the end")) } else { Ok(x) }
    }

    /// With the loosest operators that there are.
    fn operators(&mut self, depth: usize) -> Result<Expr<Raw>, MathError> {
        self.level(if self.level_one { ARITHMETIC } else { 0 }, depth)
    }

    fn error(&self, expected: &'static str) -> MathError {
        infix(self.text, self.tokens.get(self.next).map_or(self.text.len(), |(at, _)| *at), expected)
    }

    fn takes(&mut self, sign: &str) -> bool {
        let found = match self.tokens.get(self.next) {
            Some((_, Token::Sign(s))) => *s == sign,
            Some((_, Token::Name(s))) => !self.level_one && s == sign,
            _ => false,
        };
        self.next += usize::from(found);
        found
    }

    fn level(&mut self, level: usize, depth: usize) -> Result<Expr<Raw>, MathError> {
        if depth > DEEPEST {
            return Err(MathError::TooDeep { deepest: DEEPEST });
        }
        let Some(operators) = LEVELS.get(level) else { return self.prefixed(depth) };
        let mut x = self.level(level + 1, depth)?;
        // Sums and products of many terms are flat, not nested.
        while let Some(&(_, op)) = operators.iter().find(|(sign, _)| self.takes(sign)) {
            let next = self.level(level + 1, depth)?;
            x = match (op, x) {
                (Op::Add | Op::Mul | Op::And | Op::Or, Expr::Apply(same, mut operands)) if same == op => {
                    operands.push(next);
                    Expr::Apply(op, operands)
                }
                (Op::Sub, Expr::Apply(Op::Add, mut operands)) => {
                    operands.push(Expr::Apply(Op::Neg, vec![next]));
                    Expr::Apply(Op::Add, operands)
                }
                (Op::Sub, x) => Expr::Apply(Op::Add, vec![x, Expr::Apply(Op::Neg, vec![next])]),
                (op, x) => Expr::Apply(op, vec![x, next]),
            };
            if count_depth(&x) > DEEPEST {
                return Err(MathError::TooDeep { deepest: DEEPEST });
            }
        }
        Ok(x)
    }

    /// A sign binds looser than a power: `-x^2` is `-(x^2)`.
    fn prefixed(&mut self, depth: usize) -> Result<Expr<Raw>, MathError> {
        if depth > DEEPEST {
            return Err(MathError::TooDeep { deepest: DEEPEST });
        }
        if self.level_one {
            let base = self.signed(depth)?;
            return self.powers(base, depth);
        }
        if self.takes("-") {
            return Ok(Expr::Apply(Op::Neg, vec![self.prefixed(depth + 1)?]));
        }
        if self.takes("+") {
            return self.prefixed(depth + 1);
        }
        if self.takes("!") || self.takes("not") {
            return Ok(Expr::Apply(Op::Not, vec![self.prefixed(depth + 1)?]));
        }
        let base = self.primary(depth)?;
        if self.takes("^") || self.takes("**") {
            // To the right: `a^b^c` is `a^(b^c)`, and `a^-b` is allowed.
            return Ok(Expr::Apply(Op::Power, vec![base, self.prefixed(depth + 1)?]));
        }
        Ok(base)
    }

    /// An operand of level 1.
    fn signed(&mut self, depth: usize) -> Result<Expr<Raw>, MathError> {
        if depth > DEEPEST {
            return Err(MathError::TooDeep { deepest: DEEPEST });
        }
        if self.takes("-") {
            Ok(Expr::Apply(Op::Neg, vec![self.signed(depth + 1)?]))
        } else {
            self.primary(depth)
        }
    }

    /// The powers of level 1: `a^b^c` is `(a^b)^c`.
    fn powers(&mut self, base: Expr<Raw>, depth: usize) -> Result<Expr<Raw>, MathError> {
        let mut x = base;
        while self.takes("^") {
            x = Expr::Apply(Op::Power, vec![x, self.signed(depth + 1)?]);
            if count_depth(&x) > DEEPEST {
                return Err(MathError::TooDeep { deepest: DEEPEST });
            }
        }
        Ok(x)
    }

    fn primary(&mut self, depth: usize) -> Result<Expr<Raw>, MathError> {
        let Some((_, token)) = self.tokens.get(self.next).cloned() else {
            return Err(self.error("a name, a number or a parenthesis"));
        };
        match token {
            Token::Number(x) => {
                self.next += 1;
                Ok(Expr::Number(x))
            }
            Token::Name(name) => {
                self.next += 1;
                if self.takes("(") {
                    return self.function(&name, depth + 1);
                }
                Ok(match name.as_str() {
                    _ if self.level_one => Expr::Leaf(Raw::Name(name)),
                    "time" => Expr::Leaf(Raw::Time),
                    "true" | "True" => Expr::Number(1.0),
                    "false" | "False" => Expr::Number(0.0),
                    "inf" => Expr::Number(f64::INFINITY),
                    "nan" | "NaN" => Expr::Number(f64::NAN),
                    _ => Expr::Leaf(Raw::Name(name)),
                })
            }
            Token::Sign("(") => {
                self.next += 1;
                let x = self.operators(depth + 1)?;
                if self.takes(")") { Ok(x) } else { Err(self.error("`)`")) }
            }
            Token::Sign(_) => Err(self.error("a name, a number or a parenthesis")),
        }
    }

    /// After the opening parenthesis.
    fn function(&mut self, name: &str, depth: usize) -> Result<Expr<Raw>, MathError> {
        // SymPy writes pieces as pairs: `Piecewise((1, x < 2), (0, True))`.
        let pairs = name == "Piecewise";
        let mut operands = Vec::new();
        if !self.takes(")") {
            loop {
                if pairs && !self.takes("(") {
                    return Err(self.error("`(`"));
                }
                operands.push(self.operators(depth)?);
                if pairs {
                    if !self.takes(",") {
                        return Err(self.error("`,` and a condition"));
                    }
                    operands.push(self.operators(depth)?);
                    if !self.takes(")") {
                        return Err(self.error("`)`"));
                    }
                }
                if self.takes(")") {
                    break;
                }
                if !self.takes(",") {
                    return Err(self.error("`,` or `)`"));
                }
            }
        }
        let op = match name {
            "piecewise" | "Piecewise" => return Ok(pieces(operands)),
            "sqrt" => {
                operands.insert(0, Expr::Number(2.0));
                Op::Root
            }
            "log" if operands.len() == 2 => {
                operands.swap(0, 1); // the base comes second
                Op::Log
            }
            "log" => Op::Ln,
            "log10" | "log2" => {
                operands.insert(0, Expr::Number(if name == "log2" { 2.0 } else { 10.0 }));
                Op::Log
            }
            "pow" => Op::Power,
            "Abs" => Op::Abs,
            "Max" => Op::Max,
            "Min" => Op::Min,
            "ceil" => Op::Ceil,
            "sqr" if self.level_one => {
                operands.push(Expr::Number(2.0));
                Op::Power
            }
            "sign" if operands.len() == 1 => {
                let x = operands.remove(0);
                let beyond = |op| Expr::Apply(op, vec![x.clone(), Expr::Number(0.0)]);
                let pieces = vec![(Expr::Number(-1.0), beyond(Op::Lt)), (Expr::Number(1.0), beyond(Op::Gt))];
                // Zero has none, and what is not a number none either.
                return Ok(Expr::Piecewise(pieces, Some(Box::new(x))));
            }
            _ => {
                // `asin` is MathML's `arcsin`.
                let inverse = name.strip_prefix('a').and_then(|rest| Op::named(&format!("arc{rest}")));
                match Op::named(name).or(inverse) {
                    Some(op) => op,
                    // One that the model defines, or none.
                    None => return Ok(Expr::Leaf(Raw::Call(name.into(), operands))),
                }
            }
        };
        Expr::apply(op, name, operands)
    }
}

/// Value, condition, value, condition, and so on; what is left over holds otherwise.
fn pieces(operands: Vec<Expr<Raw>>) -> Expr<Raw> {
    let (mut pieces, mut otherwise) = (Vec::new(), None);
    let mut left = operands.into_iter();
    while let Some(value) = left.next() {
        match left.next() {
            Some(condition) => pieces.push((value, condition)),
            None => otherwise = Some(Box::new(value)),
        }
    }
    Expr::Piecewise(pieces, otherwise)
}

/// How deep the first operands nest: chains such as `a / b / c`.
fn count_depth(x: &Expr<Raw>) -> usize {
    let (mut x, mut depth) = (x, 0);
    while let Expr::Apply(_, operands) = x {
        let Some(first) = operands.first() else { break };
        (x, depth) = (first, depth + 1);
    }
    depth
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::value;
    use proptest::prelude::*;

    fn at(text: &str) -> f64 {
        value(&parse(text).unwrap(), &|leaf: &Raw| match leaf {
            Raw::Time => 3.0,
            Raw::Name(name) if name == "x" => 2.0,
            _ => f64::NAN,
        })
    }

    #[test]
    fn formulas_are_read_as_they_are_meant() {
        assert_eq!(at("1 - x - 3 * x^2"), -13.0);
        assert_eq!(at("-x**2"), -4.0);
        assert_eq!(at("2^-x ^ 1"), 0.25);
        assert_eq!(at("x^3^2"), 512.0);
        assert_eq!(at("8 / x / x * 3"), 6.0);
        assert_eq!(at("log10(1e+2) + log2(8) + sqrt(16) + log(9, 3)"), 2.0 + 3.0 + 4.0 + 2.0);
        assert_eq!(at("piecewise(1, x < 1, 2, time >= 3 && !(x == 3), 5)"), 2.0);
        assert_eq!(at("Piecewise((1, x < 1), (7, True))"), 7.0);
        assert_eq!(at("max(x, 3, 1) + min(x, 1) + abs(-x) + pow(x, 3)"), 14.0);
        assert!((at("asin(1) + tanh(.5)") - (1_f64.asin() + 0.5_f64.tanh())).abs() < 1e-15);
        assert!((at("acoth(2) - arccoth(2) + sec(1)") - 1.0 / 1_f64.cos()).abs() < 1e-15);
        assert_eq!(at("10 * sign(x) + sign(-x)"), 9.0);
        assert_eq!(at("sign(x - x)"), 0.0);
        assert!(at("sign(log(-x))").is_nan());
        assert_eq!(at("1.5E3 + 2e-1*0"), 1500.0);
        assert_eq!(at("(x > 1) + (x <= 1) + (x != 2 || x == 2 && !(x < 0))"), 2.0);
        assert_eq!(at("piecewise(1, time > 5, 2, time > 2, 3) + ln(exp(1))"), 3.0);
        assert!(
            matches!(parse("f(x, 2)"), Ok(Expr::Leaf(Raw::Call(name, operands))) if name == "f" && operands.len() == 2)
        );
    }

    #[test]
    fn errors_say_where() {
        let message = |text| parse(text).unwrap_err().to_string();
        assert_eq!(message("x + "), "expected a name, a number or a parenthesis at character 5 of `x + `");
        assert_eq!(message("(x"), "expected `)` at character 3 of `(x`");
        assert_eq!(message("x $ 1"), "expected a name, a number or an operator at character 3 of `x $ 1`");
        assert_eq!(message("exp(x, 1)"), "`exp` takes 1 to 1 operands, got 2");
        assert!(matches!(parse(&"(".repeat(100_000)), Err(MathError::TooDeep { .. })));
        assert!(matches!(parse(&"x/".repeat(100_000)), Err(MathError::TooDeep { .. })));
    }

    proptest! {
        #[test]
        fn any_text_gives_a_formula_or_an_error(text in "[-+*/^()a-c0-9.e, <>=!&|é]{0,40}") {
            let _ = parse(&text);
        }
    }
}
