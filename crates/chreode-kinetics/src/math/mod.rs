//! Formulas: what MathML of SBML and infix text of PEtab or SBML level 1 are read into, and what is evaluated on any number.
//!
//! `mathml.rs` and `formula.rs` read; `resolve.rs` replaces names by what they stand for and calls by their functions' bodies;
//! `evaluate.rs` and `functions.rs` compute. Not here: what a name means (`model`).

mod evaluate;
mod formula;
mod functions;
mod mathml;
mod resolve;

pub(crate) use evaluate::{is_true, value};
pub(crate) use formula::{parse, parse_level_one};
pub(crate) use mathml::{read_lambda, read_math};
pub(crate) use resolve::{Functions, Lambda, Resolver};

/// Formulas nested more deeply are refused: reading and evaluating them recurse.
pub(crate) const DEEPEST: usize = 300;
/// A formula with more operations, after functions are inlined, is refused.
pub(crate) const LONGEST: usize = 2_000_000;

/// A formula over leaves of one kind: [`Raw`] as read, `Symbol` of the model once names are known.
///
/// Truth values are numbers: one and zero; any number but zero is true.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr<L> {
    Number(f64),
    Leaf(L),
    Apply(Op, Vec<Self>),
    /// Values with their conditions, and the value if none holds.
    Piecewise(Vec<(Self, Self)>, Option<Box<Self>>),
}

/// A leaf as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Raw {
    Name(String),
    Time,
    /// The rate of change of what has this name.
    RateOf(String),
    /// A function that the model defines.
    Call(String, Vec<Expr<Self>>),
}

/// An operation or built-in function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Add,
    Sub,
    Neg,
    Mul,
    Div,
    Power,
    /// Degree, then what is under the root.
    Root,
    Exp,
    Ln,
    /// Base, then the argument.
    Log,
    Abs,
    Floor,
    Ceil,
    Factorial,
    Quotient,
    Rem,
    Max,
    Min,
    Trig(Trig, Form),
    Inverse(Trig, Form),
    Eq,
    Neq,
    Lt,
    Gt,
    Leq,
    Geq,
    And,
    Or,
    Xor,
    Not,
    Implies,
}

/// A trigonometric function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Trig {
    Sin,
    Cos,
    Tan,
    Sec,
    Csc,
    Cot,
}

/// Of the circle, or of the hyperbola.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    Circular,
    Hyperbolic,
}

impl Op {
    /// Fewest and most operands.
    fn arity(self) -> (usize, usize) {
        match self {
            Self::Add | Self::Mul | Self::And | Self::Or | Self::Xor => (0, usize::MAX),
            Self::Max | Self::Min => (1, usize::MAX),
            Self::Eq | Self::Lt | Self::Gt | Self::Leq | Self::Geq => (2, usize::MAX),
            Self::Sub
            | Self::Div
            | Self::Power
            | Self::Root
            | Self::Log
            | Self::Quotient
            | Self::Rem
            | Self::Neq
            | Self::Implies => (2, 2),
            _ => (1, 1),
        }
    }

    /// Whether it compares.
    pub(crate) fn is_relation(self) -> bool {
        matches!(self, Self::Eq | Self::Neq | Self::Lt | Self::Gt | Self::Leq | Self::Geq)
    }

    /// The function's name as MathML has it, and also as infix text has most of them.
    fn named(name: &str) -> Option<Self> {
        use Form::{Circular, Hyperbolic};
        Some(match name {
            "plus" => Self::Add,
            "times" => Self::Mul,
            "divide" => Self::Div,
            "power" => Self::Power,
            "exp" => Self::Exp,
            "ln" => Self::Ln,
            "abs" => Self::Abs,
            "floor" => Self::Floor,
            "ceiling" => Self::Ceil,
            "factorial" => Self::Factorial,
            "quotient" => Self::Quotient,
            "rem" => Self::Rem,
            "max" => Self::Max,
            "min" => Self::Min,
            "eq" => Self::Eq,
            "neq" => Self::Neq,
            "lt" => Self::Lt,
            "gt" => Self::Gt,
            "leq" => Self::Leq,
            "geq" => Self::Geq,
            "and" => Self::And,
            "or" => Self::Or,
            "xor" => Self::Xor,
            "not" => Self::Not,
            "implies" => Self::Implies,
            _ => {
                let (rest, inverse) = match name.strip_prefix("arc") {
                    Some(rest) => (rest, true),
                    None => (name, false),
                };
                let (rest, form) = match rest.strip_suffix('h') {
                    Some(rest) => (rest, Hyperbolic),
                    None => (rest, Circular),
                };
                let trig = match rest {
                    "sin" => Trig::Sin,
                    "cos" => Trig::Cos,
                    "tan" => Trig::Tan,
                    "sec" => Trig::Sec,
                    "csc" => Trig::Csc,
                    "cot" => Trig::Cot,
                    _ => return None,
                };
                if inverse { Self::Inverse(trig, form) } else { Self::Trig(trig, form) }
            }
        })
    }
}

impl<L> Expr<L> {
    /// The operation on these operands, if it takes so many.
    fn apply(op: Op, name: &str, operands: Vec<Self>) -> Result<Self, MathError> {
        let (least, most) = op.arity();
        if operands.len() < least || operands.len() > most {
            let got = operands.len();
            return Err(MathError::Operands { function: name.into(), least, most, got });
        }
        Ok(Self::Apply(op, operands))
    }

    /// Calls `see` for this formula and every part of it.
    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'a Self)) {
        see(self);
        match self {
            Self::Number(_) | Self::Leaf(_) => {}
            Self::Apply(_, operands) => operands.iter().for_each(|x| x.visit(see)),
            Self::Piecewise(pieces, otherwise) => {
                for (value, condition) in pieces {
                    value.visit(see);
                    condition.visit(see);
                }
                if let Some(otherwise) = otherwise {
                    otherwise.visit(see);
                }
            }
        }
    }

    /// How deep it is nested; a leaf is one deep.
    fn depth(&self) -> usize {
        let inside = match self {
            Self::Number(_) | Self::Leaf(_) => 0,
            Self::Apply(_, operands) => operands.iter().map(Self::depth).max().unwrap_or(0),
            Self::Piecewise(pieces, otherwise) => {
                let pieces = pieces.iter().map(|(x, m)| x.depth().max(m.depth()));
                pieces.chain(otherwise.iter().map(|x| x.depth())).max().unwrap_or(0)
            }
        };
        1 + inside
    }

    /// Calls `see` for every leaf.
    pub(crate) fn leaves<'a>(&'a self, see: &mut dyn FnMut(&'a L)) {
        self.visit(&mut |x| {
            if let Self::Leaf(leaf) = x {
                see(leaf);
            }
        });
    }
}

impl Expr<Raw> {
    /// Calls `see` for every name, those in calls too.
    pub(crate) fn names<'a>(&'a self, see: &mut dyn FnMut(&'a str)) {
        self.leaves(&mut |leaf| match leaf {
            Raw::Name(name) | Raw::RateOf(name) => see(name),
            Raw::Call(_, operands) => operands.iter().for_each(|x| x.names(see)),
            Raw::Time => {}
        });
    }
}

/// Why a formula could not be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MathError {
    /// An element that is no part of SBML's MathML, or not where it stands.
    #[error("<{element}> is not expected in a formula (line {line})")]
    Element {
        /// Its name.
        element: String,
        /// Its line.
        line: u32,
    },
    /// A part is missing.
    #[error("<{element}> needs {expected} (line {line})")]
    Missing {
        /// The element.
        element: String,
        /// What it should hold.
        expected: &'static str,
        /// Its line.
        line: u32,
    },
    /// A number that is none.
    #[error("{text:?} is not a number of type {kind:?} (line {line})")]
    Number {
        /// The text.
        text: String,
        /// The attribute `type`.
        kind: String,
        /// Its line.
        line: u32,
    },
    /// A function with too few or too many operands.
    #[error("`{function}` takes {least} to {most} operands, got {got}")]
    Operands {
        /// The function.
        function: String,
        /// Fewest.
        least: usize,
        /// Most.
        most: usize,
        /// How many there are.
        got: usize,
    },
    /// Something of SBML that is not supported.
    #[error("{what} is not supported (line {line})")]
    Unsupported {
        /// What it is.
        what: &'static str,
        /// Its line.
        line: u32,
    },
    /// Infix text that cannot be read.
    #[error("expected {expected} at character {at} of `{text}`")]
    Infix {
        /// The formula.
        text: String,
        /// Where, from one.
        at: usize,
        /// What could stand there.
        expected: &'static str,
    },
    /// A formula that is nested too deeply.
    #[error("formulas nested more than {deepest} deep are not supported")]
    TooDeep {
        /// The limit.
        deepest: usize,
    },
    /// A formula that grows too long when its functions are replaced by their bodies.
    #[error("formulas of more than {longest} operations are not supported")]
    TooLong {
        /// The limit.
        longest: usize,
    },
    /// A name that nothing has.
    #[error("`{name}` is not defined")]
    Unknown {
        /// The name.
        name: String,
    },
    /// A function that nothing defines, or that uses itself.
    #[error("function `{name}` is not defined, or uses itself")]
    UnknownFunction {
        /// Its name.
        name: String,
    },
}
