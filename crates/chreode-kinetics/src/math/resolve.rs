//! From names to what they stand for, with functions replaced by their bodies.

use std::collections::HashMap;

use super::{DEEPEST, Expr, LONGEST, MathError, Raw};

/// A function that a model defines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lambda {
    pub(crate) arguments: Vec<String>,
    pub(crate) body: Expr<Raw>,
}

/// Functions by name; they may call each other whatever the order of their definitions, but not themselves.
pub(crate) type Functions = HashMap<String, Lambda>;

/// Turns formulas as written into formulas over the symbols of a model.
pub(crate) struct Resolver<'a, L> {
    pub(crate) functions: &'a Functions,
    /// What a leaf stands for, if anything; calls do not come here.
    pub(crate) symbol: &'a dyn Fn(&Raw) -> Option<Expr<L>>,
}

/// Where the leaves of a formula are looked up.
struct Scope<'a, L> {
    /// Arguments of the function that is inlined, if any, and what they are as written.
    arguments: Option<HashMap<&'a str, (usize, Expr<L>)>>,
    written: HashMap<&'a str, &'a Expr<Raw>>,
    /// The function that is inlined, and the scope that calls it.
    caller: Option<(&'a str, &'a Self)>,
}

impl<L> Scope<'_, L> {
    /// Whether a function of this name is being inlined.
    fn is_inside(&self, name: &str) -> bool {
        self.caller.is_some_and(|(inner, caller)| inner == name || caller.is_inside(name))
    }

    /// What a name of a function's body is called where it comes from, if an argument is nothing but a name.
    fn outside<'x>(&'x self, name: &'x str) -> Option<&'x str> {
        let Some((_, caller)) = self.caller else { return Some(name) };
        match self.written.get(name) {
            Some(Expr::Leaf(Raw::Name(name))) => caller.outside(name),
            _ => None,
        }
    }
}

impl<L: Clone> Resolver<'_, L> {
    /// The formula over symbols.
    pub(crate) fn resolve(&self, x: &Expr<Raw>) -> Result<Expr<L>, MathError> {
        self.within(x, &Scope { arguments: None, written: HashMap::new(), caller: None }, 0, &mut 0)
    }

    /// `depth`: of the place in the formula that it becomes.
    fn within(
        &self,
        x: &Expr<Raw>,
        scope: &Scope<'_, L>,
        depth: usize,
        length: &mut usize,
    ) -> Result<Expr<L>, MathError> {
        count(1, length)?;
        check_depth(depth)?;
        let mut inner = |x: &Expr<Raw>| self.within(x, scope, depth + 1, length);
        Ok(match x {
            Expr::Number(x) => Expr::Number(*x),
            Expr::Apply(op, operands) => {
                Expr::Apply(*op, operands.iter().map(inner).collect::<Result<_, _>>()?)
            }
            Expr::Piecewise(pieces, otherwise) => {
                let pieces = pieces.iter().map(|(x, m)| Ok((inner(x)?, inner(m)?)));
                let pieces = pieces.collect::<Result<Vec<_>, MathError>>()?;
                let otherwise = otherwise.as_ref().map(|x| inner(x)).transpose()?;
                Expr::Piecewise(pieces, otherwise.map(Box::new))
            }
            Expr::Leaf(Raw::Call(name, operands)) => {
                let Some(lambda) = self.functions.get(name).filter(|_| !scope.is_inside(name)) else {
                    return Err(MathError::UnknownFunction { name: name.clone() });
                };
                let n = lambda.arguments.len();
                if operands.len() != n {
                    let (function, got) = (name.clone(), operands.len());
                    return Err(MathError::Operands { function, least: n, most: n, got });
                }
                let names = || lambda.arguments.iter().map(String::as_str);
                let written = names().zip(operands).collect();
                let operands = operands.iter().map(|x| inner(x).map(|x| (x.depth(), x)));
                let operands = operands.collect::<Result<Vec<_>, _>>()?;
                let arguments = Some(names().zip(operands).collect());
                let body = Scope { arguments, written, caller: Some((name, scope)) };
                self.within(&lambda.body, &body, depth + 1, length)?
            }
            Expr::Leaf(leaf) => {
                let argument = match (leaf, &scope.arguments) {
                    (Raw::Name(name), Some(arguments)) => arguments.get(name.as_str()),
                    _ => None,
                };
                if let Some((deep, argument)) = argument {
                    check_depth(depth + deep)?;
                    let mut size = 0;
                    argument.visit(&mut |_| size += 1);
                    count(size, length)?;
                    return Ok(argument.clone());
                }
                // The body of a function sees its arguments and time alone, and how its arguments change.
                let symbol = match leaf {
                    Raw::RateOf(name) => {
                        let name = scope.outside(name).map(str::to_owned);
                        name.and_then(|name| (self.symbol)(&Raw::RateOf(name)))
                    }
                    Raw::Time => (self.symbol)(leaf),
                    _ if scope.arguments.is_none() => (self.symbol)(leaf),
                    _ => None,
                };
                symbol.ok_or_else(|| MathError::Unknown {
                    name: match leaf {
                        Raw::Name(name) | Raw::RateOf(name) | Raw::Call(name, _) => name.clone(),
                        Raw::Time => "time".into(),
                    },
                })?
            }
        })
    }
}

fn check_depth(depth: usize) -> Result<(), MathError> {
    if depth > DEEPEST { Err(MathError::TooDeep { deepest: DEEPEST }) } else { Ok(()) }
}

fn count(operations: usize, length: &mut usize) -> Result<(), MathError> {
    *length += operations;
    if *length > LONGEST { Err(MathError::TooLong { longest: LONGEST }) } else { Ok(()) }
}
