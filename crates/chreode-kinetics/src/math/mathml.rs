//! MathML as SBML has it.

use roxmltree::Node;

use super::{DEEPEST, Expr, Lambda, MathError, Op, Raw};

const MATHML: &str = "http://www.w3.org/1998/Math/MathML";
/// Avogadro's constant as SBML level 3 has it.
const AVOGADRO: f64 = 6.022_141_79e23;

fn line(node: Node<'_, '_>) -> u32 {
    node.document().text_pos_at(node.range().start).row
}

fn elements<'a, 'i>(node: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(Node::is_element)
}

fn missing(node: Node<'_, '_>, expected: &'static str) -> MathError {
    MathError::Missing { element: node.tag_name().name().into(), expected, line: line(node) }
}

fn unexpected(node: Node<'_, '_>) -> MathError {
    MathError::Element { element: node.tag_name().name().into(), line: line(node) }
}

/// The formula in a `<math>` element.
pub(crate) fn read_math(math: Node<'_, '_>) -> Result<Expr<Raw>, MathError> {
    only(math, 0)
}

/// The function in a `<math>` element.
pub(crate) fn read_lambda(math: Node<'_, '_>) -> Result<Lambda, MathError> {
    let mut node = elements(math).next().ok_or_else(|| missing(math, "a <lambda>"))?;
    while node.tag_name().name() == "semantics" {
        node = elements(node).next().ok_or_else(|| missing(node, "a <lambda>"))?;
    }
    if node.tag_name().name() != "lambda" {
        return Err(unexpected(node));
    }
    let (mut arguments, mut body) = (Vec::new(), None);
    for child in elements(node) {
        if child.tag_name().name() == "bvar" {
            let ci = elements(child).next().ok_or_else(|| missing(child, "a <ci>"))?;
            arguments.push(text(ci)?);
        } else if body.is_none() {
            body = Some(read(child, 0)?);
        } else {
            return Err(unexpected(child));
        }
    }
    Ok(Lambda { arguments, body: body.ok_or_else(|| missing(node, "a formula after its arguments"))? })
}

/// The one formula that an element holds.
fn only(node: Node<'_, '_>, depth: usize) -> Result<Expr<Raw>, MathError> {
    let mut inside = elements(node);
    let first = inside.next().ok_or_else(|| missing(node, "a formula"))?;
    match inside.next() {
        Some(more) if node.tag_name().name() != "semantics" => Err(unexpected(more)),
        _ => read(first, depth),
    }
}

fn read(node: Node<'_, '_>, depth: usize) -> Result<Expr<Raw>, MathError> {
    if depth > DEEPEST {
        return Err(MathError::TooDeep { deepest: DEEPEST });
    }
    if node.tag_name().namespace().is_some_and(|namespace| namespace != MATHML) {
        return Err(unexpected(node));
    }
    match node.tag_name().name() {
        "cn" => number(node),
        "ci" => Ok(Expr::Leaf(Raw::Name(text(node)?))),
        "csymbol" => symbol(node),
        "true" => Ok(Expr::Number(1.0)),
        "false" => Ok(Expr::Number(0.0)),
        "pi" => Ok(Expr::Number(std::f64::consts::PI)),
        "exponentiale" => Ok(Expr::Number(std::f64::consts::E)),
        "infinity" => Ok(Expr::Number(f64::INFINITY)),
        "notanumber" => Ok(Expr::Number(f64::NAN)),
        "semantics" => only(node, depth + 1),
        "piecewise" => piecewise(node, depth + 1),
        "apply" => apply(node, depth + 1),
        _ => Err(unexpected(node)),
    }
}

fn text(node: Node<'_, '_>) -> Result<String, MathError> {
    // Comments have text too.
    let text: String = node.children().filter(Node::is_text).filter_map(|n| n.text()).collect();
    let text = text.trim();
    if text.is_empty() { Err(missing(node, "a name")) } else { Ok(text.into()) }
}

fn number(node: Node<'_, '_>) -> Result<Expr<Raw>, MathError> {
    let kind = node.attribute("type").unwrap_or("real");
    // Text on both sides of <sep/>.
    let mut parts = vec![String::new()];
    for child in node.children() {
        if child.is_element() {
            if child.tag_name().name() != "sep" {
                return Err(unexpected(child));
            }
            parts.push(String::new());
        } else if let (true, Some(text), Some(last)) = (child.is_text(), child.text(), parts.last_mut()) {
            last.push_str(text.trim());
        }
    }
    let wrong = || MathError::Number { text: parts.join(" "), kind: kind.into(), line: line(node) };
    let real = |text: &str| text.parse::<f64>().map_err(|_| wrong());
    let value = match (kind, parts.as_slice()) {
        ("real", [x]) => match x.as_str() {
            "INF" => f64::INFINITY,
            "-INF" => f64::NEG_INFINITY,
            x => real(x)?,
        },
        // Any number of digits.
        ("integer", [x]) if x.bytes().all(|b| b.is_ascii_digit() || b"+-".contains(&b)) => real(x)?,
        // As one decimal number, which is rounded once.
        ("e-notation", [mantissa, exponent]) => {
            real(mantissa)?;
            exponent.parse::<i32>().map_err(|_| wrong())?;
            format!("{mantissa}e{exponent}")
                .parse()
                .or_else(|_| Ok(real(mantissa)? * 10_f64.powf(real(exponent)?)))?
        }
        ("rational", [numerator, denominator]) => real(numerator)? / real(denominator)?,
        _ => return Err(wrong()),
    };
    Ok(Expr::Number(value))
}

/// The last part of a symbol's definition.
fn symbol_name<'a>(node: Node<'a, '_>) -> &'a str {
    node.attribute("definitionURL").unwrap_or_default().rsplit('/').next().unwrap_or_default()
}

fn symbol(node: Node<'_, '_>) -> Result<Expr<Raw>, MathError> {
    match symbol_name(node) {
        "time" => Ok(Expr::Leaf(Raw::Time)),
        "avogadro" => Ok(Expr::Number(AVOGADRO)),
        "delay" => Err(MathError::Unsupported { what: "a delay (csymbol `delay`)", line: line(node) }),
        _ => Err(unexpected(node)),
    }
}

fn piecewise(node: Node<'_, '_>, depth: usize) -> Result<Expr<Raw>, MathError> {
    let (mut pieces, mut otherwise) = (Vec::new(), None);
    for child in elements(node) {
        match child.tag_name().name() {
            "piece" => {
                let parts: Vec<_> = elements(child).collect();
                let [value, condition] = parts[..] else {
                    return Err(missing(child, "a value and a condition"));
                };
                pieces.push((read(value, depth)?, read(condition, depth)?));
            }
            "otherwise" if otherwise.is_none() => otherwise = Some(Box::new(only(child, depth)?)),
            _ => return Err(unexpected(child)),
        }
    }
    Ok(Expr::Piecewise(pieces, otherwise))
}

fn apply(node: Node<'_, '_>, depth: usize) -> Result<Expr<Raw>, MathError> {
    let mut inside = elements(node);
    let head = inside.next().ok_or_else(|| missing(node, "an operator"))?;
    let (mut qualifier, mut operands) = (None, Vec::new());
    for child in inside {
        match child.tag_name().name() {
            "degree" | "logbase" if qualifier.is_none() => qualifier = Some(only(child, depth)?),
            _ => operands.push(read(child, depth)?),
        }
    }
    let name = head.tag_name().name();
    if qualifier.is_some() && !matches!(name, "root" | "log") {
        return Err(MathError::Element { element: "degree or logbase".into(), line: line(node) });
    }
    match name {
        "ci" => Ok(Expr::Leaf(Raw::Call(text(head)?, operands))),
        "csymbol" if symbol_name(head) == "rateOf" => match operands.as_slice() {
            [Expr::Leaf(Raw::Name(name))] => Ok(Expr::Leaf(Raw::RateOf(name.clone()))),
            _ => Err(missing(node, "one <ci> whose rate it is")),
        },
        "csymbol" => symbol(head).and(Err(unexpected(head))),
        "minus" if operands.len() == 1 => Ok(Expr::Apply(Op::Neg, operands)),
        "minus" => Expr::apply(Op::Sub, name, operands),
        "root" => {
            operands.insert(0, qualifier.unwrap_or(Expr::Number(2.0)));
            Expr::apply(Op::Root, name, operands)
        }
        "log" => {
            operands.insert(0, qualifier.unwrap_or(Expr::Number(10.0)));
            Expr::apply(Op::Log, name, operands)
        }
        _ => Expr::apply(Op::named(name).ok_or_else(|| unexpected(head))?, name, operands),
    }
}
